/** Longer texts are not offered: nobody could look over them. */
const LONGEST = 1_000_000;

/**
 * The text that a program wants to have copied (OSC 52, as tmux and editors say it). Whether
 * it is copied is the learner's to say; what asks for the clipboard's own text gets nothing.
 */
export function offered(sequence: string): string | undefined {
  const [, encoded] = /^[a-z0-7]*;([A-Za-z0-9+/]+=*)$/.exec(sequence) ?? [];
  if (encoded === undefined || encoded.length > LONGEST) return undefined;
  try {
    const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
