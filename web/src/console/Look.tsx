import "@xterm/xterm/css/xterm.css";
import type { ObserveMode, Observer } from "@clarateach/sdk";
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { Shell } from "../workspace/terminals/shell.js";
import type { Room, SeatView } from "./room.js";
import { told } from "./session.js";

/** A learner's terminal as they see it; keys count only in mode `assist`, once they consent. */
export function Look(props: { room: Room; view: SeatView; mode: ObserveMode }) {
  const { room, view, mode } = props;
  const { seat } = view;
  const name = useSignal("main");
  const trouble = useSignal("");
  const observer = useSignal<Observer | undefined>(undefined);
  useEffect(() => {
    let over = false;
    room.observe(seat, mode).then(
      (given) => {
        if (over) given.close();
        else observer.value = given;
      },
      (error) => {
        trouble.value = told(error);
      },
    );
    return () => {
      over = true;
      observer.peek()?.close();
    };
  }, [room, seat, mode]);
  const names = view.terminals.value;
  return (
    <div class="stack">
      {names.length > 1 && (
        <label class="row pick">
          Terminal
          <select
            value={name.value}
            onChange={(event) => {
              name.value = event.currentTarget.value;
            }}
          >
            {names.map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
        </label>
      )}
      {trouble.value && <p role="alert">{trouble.value}</p>}
      {observer.value && (
        <Screen
          key={name.value}
          observer={observer.value}
          workshopId={room.id}
          name={name.value}
          mode={mode}
        />
      )}
    </div>
  );
}

function Screen(props: {
  observer: Observer;
  workshopId: string;
  name: string;
  mode: ObserveMode;
}) {
  const { observer, workshopId, name, mode } = props;
  const place = useRef<HTMLDivElement>(null);
  const shell = useSignal<Shell | undefined>(undefined);
  useEffect(() => {
    if (!place.current) return;
    const source = {
      workshopId,
      number: observer.seat,
      terminal: observer.terminal.bind(observer),
    };
    const shown = new Shell(source, name, { follows: true });
    shown.open(place.current);
    shown.screen.textarea?.setAttribute("aria-label", `Terminal of seat ${observer.seat}`);
    if (mode === "assist") shown.screen.focus();
    shell.value = shown;
    return () => shown.close();
  }, [observer, workshopId, name, mode]);
  const state = shell.value?.state.value;
  return (
    <div class="stack" data-look={state?.is ?? "opening"}>
      <p class="aside" role="status">
        {said(shell.value, mode)}
      </p>
      <div ref={place} class="look" />
    </div>
  );
}

/** How it stands, and whose hand is on the keys. */
function said(shell: Shell | undefined, mode: ObserveMode): string {
  const state = shell?.state.value;
  if (state?.is === "lost") return state.why;
  if (state?.is === "ended") return "This shell has ended.";
  if (state?.is === "away") return "The line is cut and is being mended.";
  const typing = shell?.typing.value?.mode;
  const hand =
    typing === "drive"
      ? " They typed last."
      : typing === "assist"
        ? mode === "assist"
          ? " You typed last."
          : " A helper typed last."
        : "";
  if (mode === "observe") return `You only look. They see that you are here.${hand}`;
  // What they let you do shows as soon as your keys arrive.
  if (typing === "assist") return `They let you type, and see that you do.${hand}`;
  if (shell?.refused.value === "consent_needed") {
    return `Not typed: they have not let you yet. Their page asks them.${hand}`;
  }
  return `Keys count once they let you type; their page asks them. They see that you are here.${hand}`;
}
