import type { Shell } from "./shell.js";

/** Keys that a phone has not, and what a terminal hears of them. */
const KEYS: readonly [word: string, name: string, sent: string][] = [
  ["Esc", "Esc", "\x1b"],
  ["Tab", "Tab", "\t"],
  ["^C", "Control C", "\x03"],
  ["^D", "Control D", "\x04"],
  ["^Z", "Control Z", "\x1a"],
  ["↑", "Up", "\x1b[A"],
  ["↓", "Down", "\x1b[B"],
  ["←", "Left", "\x1b[D"],
  ["→", "Right", "\x1b[C"],
];

/** For touch: shown where a screen is narrow. */
export function KeyRow({ shell }: { shell(): Shell }) {
  return (
    <div class="keyrow" role="toolbar" aria-label="Keys">
      {KEYS.map(([word, name, sent]) => (
        <button
          key={name}
          type="button"
          class="quiet"
          aria-label={name}
          // The keyboard of the phone stays open.
          onPointerDown={(event) => event.preventDefault()}
          onClick={() => shell().press(arrow(shell(), sent))}
        >
          {word}
        </button>
      ))}
    </div>
  );
}

/** Programs that ask for it hear arrows in another way. */
function arrow(shell: Shell, sent: string): string {
  const application = shell.screen.modes.applicationCursorKeysMode;
  return application ? sent.replace("\x1b[", "\x1bO") : sent;
}
