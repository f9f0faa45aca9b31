import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { span, useNow } from "../../app/time.js";
import { sure } from "../../ui/ask.js";
import { lately } from "../../ui/Lazy.js";
import { handleKeys } from "./keys.js";
import type { Shell } from "./shell.js";

const Search = lately(() => import("./Search.js").then(({ Search }) => Search));

/** One terminal: its screen, and a line that says how it stands when that is not plain to see. */
export function Pane(props: {
  shell: Shell;
  title: string;
  shown: boolean;
  onLeave(): void;
  onRenew(): void;
}) {
  const { shell, title, shown, onLeave, onRenew } = props;
  const place = useRef<HTMLDivElement>(null);
  const searching = useSignal(false);
  const hint = useSignal("");
  useEffect(() => {
    if (!place.current) return;
    shell.open(place.current);
    shell.screen.textarea?.setAttribute(
      "aria-label",
      `${title}: type here. Control Shift F6 leaves to the tabs`,
    );
    handleKeys(shell.screen, {
      search: () => {
        searching.value = true;
      },
      leave: onLeave,
      refused: () => {
        hint.value = "The browser did not let this page copy: use its own menu on the selection.";
      },
    });
  }, [shell]);
  useEffect(() => {
    if (!shown) {
      shell.drawing.hide();
      return;
    }
    shell.drawing.show();
    shell.fit();
    shell.screen.focus();
  }, [shell, shown]);
  const state = shell.state.value;
  const dim = state.is === "away" || state.is === "lost";
  return (
    <div
      class="pane"
      role="tabpanel"
      id={`pane-${shell.name}`}
      aria-labelledby={`tab-${shell.name}`}
      hidden={!shown}
      data-state={state.is}
    >
      <Standing shell={shell} onRenew={onRenew} />
      {hint.value && (
        <p class="standing" role="status">
          {hint.value}
        </p>
      )}
      {searching.value && (
        <Search
          screen={shell.screen}
          onClose={() => {
            searching.value = false;
            shell.screen.focus();
          }}
        />
      )}
      <div
        ref={place}
        class={`screen ${dim ? "dim" : ""}`}
        onPasteCapture={(event) => askBeforePaste(event, shell)}
      />
    </div>
  );
}

/** The quiet line under the tabs. */
function Standing({ shell, onRenew }: { shell: Shell; onRenew(): void }) {
  const state = shell.state.value;
  const helpers = shell.watching.value;
  const foreign = shell.foreign.value;
  if (state.is === "away") return <Away since={state.since} />;
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

function Away({ since }: { since: number }) {
  const now = useNow(1000);
  return (
    <p class="standing warn" role="status">
      Reconnecting; your shell keeps running ({span(now - since)})
    </p>
  );
}

/** Several lines would run at once where the shell does not know that they were pasted. */
function askBeforePaste(event: ClipboardEvent, shell: Shell): void {
  const text = event.clipboardData?.getData("text/plain") ?? "";
  const lines = text.trimEnd().split(/\r?\n/);
  if (lines.length < 2 || shell.screen.modes.bracketedPasteMode) return;
  event.preventDefault();
  event.stopPropagation();
  const body = <pre class="sample">{lines.slice(0, 12).join("\n")}</pre>;
  void sure(`Paste ${lines.length} lines? Each runs at once.`, body, "Paste", false).then((yes) => {
    if (yes) shell.screen.paste(text);
    shell.screen.focus();
  });
}
