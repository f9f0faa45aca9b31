import { signal } from "@preact/signals";
import { read, write } from "../../app/keep.js";

/** How somebody likes their terminals; kept in this browser. */
export interface Settings {
  /** Of its letters, in pixels. */
  readonly fontSize: number;
  /** A selection is copied as soon as it is made. */
  readonly copyOnSelect: boolean;
  /** Screen readers are told what a terminal says: it costs time, and most need it not. */
  readonly screenReader: boolean;
}

/** Letters are at least and at most so large. */
export const SIZES = { least: 9, most: 32 } as const;

const FIRST: Settings = { fontSize: 14, copyOnSelect: false, screenReader: false };

/** The settings now, of all terminals. */
export const settings = signal<Settings>({ ...FIRST, ...read<Partial<Settings>>("terminal") });

/** Changes some of them. */
export function change(some: Partial<Settings>): void {
  const next = { ...settings.value, ...some };
  next.fontSize = Math.min(Math.max(next.fontSize, SIZES.least), SIZES.most);
  settings.value = next;
  write("terminal", next);
}
