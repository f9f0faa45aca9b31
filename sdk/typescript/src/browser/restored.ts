/** The events of a page after which a lost connection is worth a try at once. */
interface Page {
  addEventListener?(type: string, heard: () => void): void;
  removeEventListener?(type: string, heard: () => void): void;
  readonly document?: EventTarget & { readonly hidden: boolean };
}

/**
 * Resolves when the network is back, or somebody looks at the page again, as after sleep:
 * waiting out a pause of ten seconds before their eyes would be no politeness. Resolves with
 * the signal, too, and so leaves no listener behind.
 */
export function restored(signal: AbortSignal, page: Page = globalThis): Promise<void> {
  return new Promise((resolve) => {
    const { document } = page;
    const seen = (): void => {
      if (!document?.hidden) done();
    };
    const done = (): void => {
      page.removeEventListener?.("online", done);
      page.removeEventListener?.("focus", done);
      document?.removeEventListener("visibilitychange", seen);
      signal.removeEventListener("abort", done);
      resolve();
    };
    if (signal.aborted) return resolve();
    // Tests of this entry run where there is no page.
    page.addEventListener?.("online", done);
    page.addEventListener?.("focus", done);
    document?.addEventListener("visibilitychange", seen);
    signal.addEventListener("abort", done);
  });
}
