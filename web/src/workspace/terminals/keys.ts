import type { Terminal } from "@xterm/xterm";

/** What keys do besides going to the shell. */
export interface Keys {
  search(): void;
  /** Leaves the terminal, which takes Tab for itself. */
  leave(): void;
  /** The clipboard refused; there is a way all the same. */
  refused(): void;
}

/** The one handler that a terminal can have: a second would replace it. False keeps a key from the shell. */
export function handleKeys(screen: Terminal, keys: Keys): void {
  screen.attachCustomKeyEventHandler((event) => {
    if (event.type !== "keydown") return true;
    const { code, ctrlKey: ctrl, shiftKey: shift, altKey: alt, metaKey: meta } = event;
    if (alt) return true;
    if (code === "F6" && ctrl && shift) {
      event.preventDefault();
      keys.leave();
      return false;
    }
    if (code === "KeyF" && ((ctrl && shift) || meta)) {
      event.preventDefault();
      keys.search();
      return false;
    }
    // With a selection Ctrl-C copies it; the next one interrupts.
    const wantsCopy = code === "KeyC" && (meta || ctrl) && (shift || screen.hasSelection());
    if (wantsCopy) {
      // Otherwise the browser opens its developer tools.
      event.preventDefault();
      const text = screen.getSelection();
      if (text !== "") void copy(text, keys.refused);
      screen.clearSelection();
      return false;
    }
    // The browser pastes by itself, with no permission to ask for.
    return !(code === "KeyV" && (ctrl || meta));
  });
}

/** Copies a text, where the browser lets this page. */
export async function copy(text: string, refused: () => void): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    refused();
  }
}
