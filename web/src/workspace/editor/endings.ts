// How a file's lines end: an editor has lines, and a save must give back the file's own ends.

import type { Text } from "@codemirror/state";

export type Ending = "\n" | "\r\n";

/** How all lines of a text end; undefined when they do not end alike, or by a lone "\r". */
export function endingOf(text: string): Ending | undefined {
  const bare = text.replaceAll("\r\n", "");
  if (bare.includes("\r")) return undefined;
  if (bare.length === text.length) return "\n";
  return bare.includes("\n") ? undefined : "\r\n";
}

/** What is to be saved of an editor's lines. */
export function written(lines: Text, ending: Ending): string {
  return lines.sliceString(0, lines.length, ending);
}
