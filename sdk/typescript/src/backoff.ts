/** First wait between two tries, in milliseconds. */
const FIRST_MS = 200;
/** No wait is longer, in milliseconds. */
const LONGEST_MS = 10_000;

/** How long to wait before the next try: doubling, with full jitter, unless the server says. */
export class Backoff {
  #tries = 0;

  /** Waits given since the start or the last success. */
  get tries(): number {
    return this.#tries;
  }

  /** The next wait in milliseconds; what the server asked for wins. */
  next(askedMs?: number): number {
    const most = Math.min(LONGEST_MS, FIRST_MS * 2 ** this.#tries);
    this.#tries += 1;
    // Jitter never goes to zero: a class that is cut off together must spread.
    return askedMs ?? most * (0.25 + 0.75 * Math.random());
  }

  /** It worked: the next failure begins anew. */
  reset(): void {
    this.#tries = 0;
  }
}
