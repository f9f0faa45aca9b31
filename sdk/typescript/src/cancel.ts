// Waiting that a signal can end. AbortSignal.any is not used: in Node 20 a
// combined signal that nobody else holds is forgotten before it fires.

import { DeadlineError } from "./errors.js";

/** Options of everything that takes time. */
export interface CallOptions {
  /** Ends the call: it throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** How long the whole call may take, retries included, in milliseconds. */
  readonly timeoutMs?: number | undefined;
}

/** A signal of its own that follows another, or a deadline. Close it when done. */
export class Scope {
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal | undefined;
  readonly #follow = (): void => this.#controller.abort(this.#outer?.reason);
  readonly #timer: ReturnType<typeof setTimeout> | undefined;

  /** Follows `options.signal`, and `options.timeoutMs` from now; `what` is said when that is over. */
  constructor(options: CallOptions = {}, what = "the call") {
    this.#outer = options.signal;
    if (this.#outer?.aborted) this.#follow();
    this.#outer?.addEventListener("abort", this.#follow, { once: true });
    const ms = options.timeoutMs;
    // Beyond 31 bits timers fire at once; such a deadline is none.
    if (ms !== undefined && ms < 2 ** 31) {
      this.#timer = setTimeout(() => {
        this.#controller.abort(
          new DeadlineError(`${what} did not end within ${ms} ms`, { reason: "DEADLINE" }),
        );
      }, ms);
    }
  }

  /** Aborted when the outer signal is, when time is over, or by `abort`. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Ends it from inside. */
  abort(reason?: unknown): void {
    this.#controller.abort(reason);
  }

  /** Lets go of the outer signal and the timer. */
  close(): void {
    clearTimeout(this.#timer);
    this.#outer?.removeEventListener("abort", this.#follow);
  }
}

/** Waits `ms` milliseconds, or throws the signal's reason. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** `promise`, unless the signal comes first: then its reason is thrown and the promise is left alone. */
export function unlessAborted<T>(promise: Promise<T>, signal?: AbortSignal): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
