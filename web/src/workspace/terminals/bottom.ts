import type { Terminal } from "@xterm/xterm";

/** In so many frames at most a screen that came to be seen is measured. */
const FRAMES = 60;

/**
 * Keeps a screen at its end while its size changes. xterm.js measures one that nobody sees
 * later than it resizes it; what scrolls by meanwhile it takes for a reader's scrolling back,
 * and stays there (its Viewport clamps to the old height; seen in 6.0.0).
 */
export class Bottom {
  readonly #screen: Terminal;
  #hidden = false;
  /** Whether it stood at its end when nothing was in doubt. */
  #stood = true;
  /** Frames that are left to bring it there. */
  #left = 0;
  #frame: number | undefined;

  constructor(screen: Terminal) {
    this.#screen = screen;
  }

  /** Hears who scrolls, once the screen is in the page. */
  watch(place: HTMLElement): void {
    // A key with Shift scrolls; others go to the shell.
    const key = (event: KeyboardEvent): void => {
      if (event.shiftKey) this.stop();
    };
    place.addEventListener("keydown", key, true);
    for (const by of ["wheel", "pointerdown", "touchmove"] as const) {
      place.addEventListener(by, () => this.stop(), { capture: true, passive: true });
    }
    // A search selects what it found.
    this.#screen.onSelectionChange(() => {
      if (this.#screen.hasSelection()) this.stop();
    });
  }

  /** Changes the size by `resize`. */
  over(resize: () => void): void {
    if (!this.#hidden) this.#stood = this.#stands;
    resize();
    if (!this.#hidden && this.#stood) this.#begin();
  }

  hide(): void {
    if (this.#hidden) return;
    this.#stood = this.#stands;
    this.#hidden = true;
    this.stop();
  }

  show(): void {
    this.#hidden = false;
    if (this.#stood) this.#begin();
  }

  /** Somebody scrolls, or there is no screen any more. */
  stop(): void {
    if (this.#frame !== undefined) cancelAnimationFrame(this.#frame);
    this.#frame = undefined;
    this.#left = 0;
  }

  get #stands(): boolean {
    const { viewportY, baseY } = this.#screen.buffer.active;
    return this.#frame !== undefined || viewportY >= baseY;
  }

  #begin(): void {
    this.#left = FRAMES;
    this.#frame ??= requestAnimationFrame(() => this.#look());
  }

  #look(): void {
    this.#frame = undefined;
    const { viewportY, baseY } = this.#screen.buffer.active;
    if (viewportY < baseY) this.#screen.scrollToBottom();
    this.#left -= 1;
    if (this.#left > 0) this.#frame = requestAnimationFrame(() => this.#look());
  }
}
