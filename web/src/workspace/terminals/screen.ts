import { FitAddon } from "@xterm/addon-fit";
import { SerializeAddon } from "@xterm/addon-serialize";
import { Unicode11Addon } from "@xterm/addon-unicode11";
import { WebLinksAddon } from "@xterm/addon-web-links";
import { Terminal } from "@xterm/xterm";

/** Lines above the screen that are kept. */
const SCROLLBACK = 5_000;

/** A screen as all our terminals have it: widths as the guest counts them, links that open. */
export function makeScreen() {
  const screen = new Terminal({
    allowProposedApi: true,
    scrollback: SCROLLBACK,
    fontFamily: getComputedStyle(document.documentElement).getPropertyValue("--mono"),
    cursorBlink: false,
    macOptionIsMeta: true,
    minimumContrastRatio: 4.5,
  });
  const fit = new FitAddon();
  const serialize = new SerializeAddon();
  screen.loadAddon(fit);
  screen.loadAddon(serialize);
  screen.loadAddon(new Unicode11Addon());
  // As the screen that the guest keeps counts widths.
  screen.unicode.activeVersion = "11";
  screen.loadAddon(
    new WebLinksAddon((_event, uri) => {
      window.open(uri, "_blank", "noopener,noreferrer");
    }),
  );
  return { screen, fit, serialize };
}

/** Draws a line across the screen, in its turn. */
export function rule(screen: Terminal, text: string): void {
  screen.write(`\x1b[0m\r\n\x1b[2m── ${text} ──\x1b[0m\r\n`);
}
