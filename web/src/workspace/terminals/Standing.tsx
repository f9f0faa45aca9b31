import { span, useNow } from "../../app/time.js";
import type { Shell } from "./shell.js";

/** The quiet line under the tabs. */
export function Standing(props: { shell: Shell; machine: string; onRenew(): void }) {
  const { shell, machine, onRenew } = props;
  const state = shell.state.value;
  const helpers = shell.watching.value;
  const foreign = shell.foreign.value;
  if (state.is === "away") return <Away since={state.since} machine={machine} />;
  if (state.is === "ended" || state.is === "lost") {
    const said =
      state.is === "lost"
        ? `Not connected: ${state.why}`
        : `The shell has ended${state.code === undefined ? "" : ` with ${state.code}`}.`;
    return (
      <p class="standing" role="status">
        <span class="grow">{said}</span>
        <button type="button" class="small" onClick={onRenew}>
          {state.is === "lost" ? "Connect again" : "New shell"}
        </button>
      </p>
    );
  }
  if (helpers.length > 0) {
    return (
      <p class="standing" role="status">
        <span class="grow">
          {helpers.length === 1 ? "Somebody" : `${helpers.length} people`} of the course staff
          {helpers.length === 1 ? " looks" : " look"} at this terminal
          {shell.typing.value?.mode === "assist" ? ", and types in it now." : "."}
        </span>
        {helpers
          .filter(({ mode }) => mode === "assist")
          .map(({ viewer }) => (
            <button
              key={viewer}
              type="button"
              class="small"
              onClick={() => shell.consent(viewer, true)}
            >
              Let them type
            </button>
          ))}
      </p>
    );
  }
  if (foreign) {
    return (
      <p class="standing" role="status">
        Drawn at {foreign}, the size of another screen that looks at it. Type here to take it over.
      </p>
    );
  }
  return null;
}

function Away({ since, machine }: { since: number; machine: string }) {
  const now = useNow(1000);
  const said = AWAY[machine] ?? "Your machine is away; files are kept, and this opens by itself";
  return (
    <p class="standing warn" role="status">
      {said} ({span(now - since)})
    </p>
  );
}

/** Why a line may be cut, by the state of the machine behind it: where that is gone, no shell runs on. */
const AWAY: Partial<Record<string, string>> = {
  ready: "Reconnecting; your shell keeps running",
  stopped: "The workshop is stopped; files are kept, and this opens again with it",
  removing: "Your seat is being reset; a new shell opens by itself",
  failed: "Your machine failed, and your instructor sees this",
};
