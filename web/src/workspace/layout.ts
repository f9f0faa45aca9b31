import { signal } from "@preact/signals";
import { read, write } from "../app/keep.js";

/** Sizes of panes in pixels, as somebody left them. */
export interface Sizes {
  readonly instructions: number;
  readonly files: number;
  /** The editor's height, once a file is open. */
  readonly editor: number;
}

/** For 1024 × 640 and more. */
const FIRST: Sizes = { instructions: 300, files: 230, editor: 300 };

/** The sizes now; kept in this browser. */
export const sizes = signal<Sizes>({ ...FIRST, ...read<Partial<Sizes>>("sizes") });

/** Gives a pane another size. */
export function resize(pane: keyof Sizes, size: number): void {
  sizes.value = { ...sizes.value, [pane]: size };
  write("sizes", sizes.value);
}
