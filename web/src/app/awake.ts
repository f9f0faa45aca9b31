/** A page that is hidden for so long stops listening, in milliseconds. */
const HIDDEN_MS = 30_000;

/**
 * A watch that pauses while nobody sees the page: browsers allow six connections to one
 * origin, over all tabs, and a class opens many. What `open` gives begins with the whole
 * state, so nothing is missed by beginning again.
 */
export async function* awake<T>(
  open: (signal: AbortSignal) => AsyncIterable<T>,
  over: AbortSignal,
): AsyncGenerator<T, void, undefined> {
  while (!over.aborted) {
    await seen(over);
    const asleep = new AbortController();
    const stop = watchSleep(asleep);
    try {
      for await (const value of open(AbortSignal.any([over, asleep.signal]))) yield value;
      return;
    } catch (error) {
      if (over.aborted || !asleep.signal.aborted) throw error;
    } finally {
      stop();
    }
  }
}

/** Aborts once the page was hidden long enough. */
function watchSleep(asleep: AbortController): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const look = (): void => {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(() => asleep.abort(), HIDDEN_MS);
  };
  document.addEventListener("visibilitychange", look);
  look();
  return () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", look);
  };
}

/** Resolves once the page is seen, or all is over. */
function seen(over: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (!document.hidden || over.aborted) return resolve();
    const look = (): void => {
      if (document.hidden && !over.aborted) return;
      document.removeEventListener("visibilitychange", look);
      over.removeEventListener("abort", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    over.addEventListener("abort", look);
  });
}
