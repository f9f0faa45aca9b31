/** The join code in what somebody typed or pasted: the code itself, or a whole link with it. */
export function codeIn(typed: string): string {
  const link = /\/j\/([^/?#\s]+)/.exec(typed);
  return shown(link?.[1] ?? typed);
}

/** A code as people read it: upper case, in two groups. What is no code stays as it is. */
export function shown(code: string): string {
  const bare = code.toUpperCase().replace(/[\s-]+/g, "");
  return /^[0-9A-Z]{10}$/.test(bare) ? `${bare.slice(0, 5)}-${bare.slice(5)}` : code.trim();
}
