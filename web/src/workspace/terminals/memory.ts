import { read, write } from "../../app/keep.js";

/** A screen as it was when its page went, and where its shell's output stood then. */
export interface Screen {
  readonly instance: string;
  readonly offset: number;
  readonly cols: number;
  readonly rows: number;
  /** What draws it again, scrollback and all. */
  readonly drawn: string;
}

/** Longer ones are not kept: storage has room for some MiB in all. */
const LONGEST = 1_000_000;

const session = (): Storage => sessionStorage;

/** Keeps a screen over a reload of this tab. */
export function keepScreen(name: string, screen: Screen): void {
  write(`screen.${name}`, screen.drawn.length > LONGEST ? undefined : screen, session);
}

/** Takes what was kept: once, so that a later page does not continue where this one has been. */
export function takeScreen(name: string): Screen | undefined {
  const kept = read<Screen>(`screen.${name}`, session);
  write(`screen.${name}`, undefined, session);
  return kept;
}
