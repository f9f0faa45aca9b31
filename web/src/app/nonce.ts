/** This answer's nonce; browsers hide it from selectors, not from scripts. */
export function nonce(): string {
  const meta = document.querySelector<HTMLMetaElement>('meta[property="csp-nonce"]');
  return meta?.nonce ?? "";
}

/**
 * Gives every `<style>` that a script makes from now on this page's nonce. The terminal makes
 * some and cannot be told one; without it the page's policy would drop them.
 */
export function signStyles(): void {
  const make = document.createElement.bind(document);
  document.createElement = ((name: string, options?: ElementCreationOptions) => {
    const made = make(name, options);
    if (made instanceof HTMLStyleElement) made.nonce = nonce();
    return made;
  }) as typeof document.createElement;
}
