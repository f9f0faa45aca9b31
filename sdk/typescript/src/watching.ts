// A watch that outlives the connections it is made of.

import { Backoff } from "./backoff.js";
import type { Caller } from "./call.js";
import { Scope } from "./cancel.js";
import { type ClarateachError, ConnectionLostError, UnavailableError } from "./errors.js";
import { fromCall } from "./faults.js";
import { rest } from "./rest.js";

/** A watch that gets nothing through for so long gives up, in milliseconds. */
const GIVE_UP_MS = 5 * 60_000;

/** How to watch one thing. */
export interface Watch<Message, Value> {
  /** Who is asked. */
  readonly caller: Caller;
  /** Opens a stream that begins after `since`. */
  open(since: bigint, signal: AbortSignal): AsyncIterable<Message>;
  /** What a message means. */
  read(message: Message): { revision: bigint; value: Value; last: boolean };
  /** May cure an error, such as a token that is over; false when it cannot. */
  cure?(error: ClarateachError, signal: AbortSignal): Promise<boolean>;
}

/** Yields until the last value; breaks are mended without a word. */
export async function* watching<Message, Value>(
  watch: Watch<Message, Value>,
  outer?: AbortSignal,
): AsyncGenerator<Value, void, undefined> {
  const scope = new Scope({ signal: outer });
  const { signal } = scope;
  const { url, platform } = watch.caller;
  const backoff = new Backoff();
  let since = 0n;
  let failing: number | undefined;
  try {
    for (;;) {
      signal.throwIfAborted();
      let error: ClarateachError | undefined;
      try {
        for await (const message of watch.open(since, signal)) {
          failing = undefined;
          backoff.reset();
          const { revision, value, last } = watch.read(message);
          since = revision;
          yield value;
          if (last) return;
        }
      } catch (thrown) {
        if (signal.aborted) throw signal.reason;
        error = fromCall(thrown, url);
        const passing = error instanceof UnavailableError;
        if (!passing && !(await watch.cure?.(error, signal))) throw error;
      }
      const now = performance.now();
      failing ??= now;
      if (now - failing > GIVE_UP_MS) {
        throw new ConnectionLostError(`nothing was heard from ${url} for five minutes`, {
          reason: "CONNECTION_LOST",
          cause: error,
        });
      }
      await rest(platform, backoff.next(error?.retryAfterMs), signal);
    }
  } finally {
    scope.abort();
    scope.close();
  }
}
