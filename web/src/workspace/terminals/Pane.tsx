import { useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { sure } from "../../ui/ask.js";
import { lately } from "../../ui/Lazy.js";
import { copy, handleKeys } from "./keys.js";
import { Standing } from "./Standing.js";
import { settings } from "./settings.js";
import type { Shell } from "./shell.js";

const Search = lately(() => import("./Search.js").then(({ Search }) => Search));

/** One terminal: its screen, and a line that says how it stands when that is not plain to see. */
export function Pane(props: {
  shell: Shell;
  title: string;
  shown: boolean;
  machine: string;
  onLeave(): void;
  onRenew(): void;
}) {
  const { shell, title, shown, machine, onLeave, onRenew } = props;
  const place = useRef<HTMLDivElement>(null);
  const searching = useSignal(false);
  const hint = useSignal("");
  const refused = () => {
    hint.value = "The browser did not let this page copy: use its own menu on the selection.";
  };
  // Before the first frame: a learner waits for it.
  useLayoutEffect(() => {
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
      refused,
    });
  }, [shell]);
  useEffect(() => {
    if (!shown) {
      shell.hide();
      return;
    }
    shell.show();
    // Who goes through the tabs with arrows stays there.
    if (!document.activeElement?.closest('[role="tablist"]')) shell.screen.focus();
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
      <Standing shell={shell} machine={machine} onRenew={onRenew} />
      <Offer shell={shell} refused={refused} />
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
        onPointerDown={() => {
          // Wherever the pointer is by then.
          window.addEventListener("pointerup", () => copySelected(shell, refused), { once: true });
        }}
        onPasteCapture={(event) => askBeforePaste(event, shell)}
      />
    </div>
  );
}

/** As people know it from other terminals, if they asked for it. */
function copySelected({ screen }: Shell, refused: () => void): void {
  const text = settings.value.copyOnSelect ? screen.getSelection() : "";
  if (text !== "") void copy(text, refused);
}

/** A program's wish to have a text copied: nothing is copied by itself. */
function Offer({ shell, refused }: { shell: Shell; refused(): void }) {
  const text = shell.offer.value;
  if (text === "") return null;
  const done = () => {
    shell.offer.value = "";
    shell.screen.focus();
  };
  const shown = text.length > 60 ? `${text.slice(0, 60)}…` : text;
  return (
    <p class="standing" role="status">
      <span class="grow cut">
        A program wants to copy <code>{shown}</code>
      </span>
      <button type="button" class="small" onClick={() => void copy(text, refused).then(done)}>
        Copy it
      </button>
      <button type="button" class="quiet small" onClick={done}>
        No
      </button>
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
