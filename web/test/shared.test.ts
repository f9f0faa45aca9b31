import { afterEach, expect, test, vi } from "vitest";
import { type Shared, shared } from "../src/app/shared.js";

/** Locks as browsers have them, as far as they are used: one after the other, in order. */
class Locks {
  #last: Promise<unknown> = Promise.resolve();

  request(_name: string, { signal }: { signal: AbortSignal }, does: () => Promise<void>) {
    const before = this.#last;
    const gone = new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
    });
    const mine = Promise.race([before, gone]).then(does);
    this.#last = Promise.allSettled([before, mine]);
    return mine;
  }
}

/** A stream that says numbers from outside, and counts who opened it. */
class Source {
  opened = 0;
  readonly #heard = new Set<(value: number) => void>();

  say(value: number): void {
    for (const hear of this.#heard) hear(value);
  }

  as(name: string): Shared<number> {
    return {
      name,
      open: (signal) => this.#open(signal),
      keep: (value) => ["number", value],
    };
  }

  async *#open(signal: AbortSignal): AsyncGenerator<number> {
    this.opened += 1;
    const waiting: number[] = [-this.opened];
    let wake = (): void => undefined;
    const hear = (value: number): void => {
      waiting.push(value);
      wake();
    };
    this.#heard.add(hear);
    signal.addEventListener("abort", () => wake());
    try {
      for (;;) {
        for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) yield next;
        signal.throwIfAborted();
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    } finally {
      this.#heard.delete(hear);
    }
  }
}

/** Listens as a window does, until it is closed. */
function window(stream: Shared<number>) {
  const close = new AbortController();
  const heard: number[] = [];
  const ended = (async () => {
    for await (const value of shared(stream, close.signal)) heard.push(value);
  })().catch(() => undefined);
  return { heard, close: () => close.abort(), ended };
}

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

test("windows share one stream; who comes later hears the state, and the next one leads", async () => {
  vi.stubGlobal("navigator", { locks: new Locks() });
  const source = new Source();
  const first = window(source.as("a"));
  await vi.waitFor(() => expect(first.heard).toEqual([-1]));
  const second = window(source.as("a"));
  await vi.waitFor(() => expect(second.heard).toEqual([-1]));
  source.say(5);
  for (const { heard } of [first, second]) await vi.waitFor(() => expect(heard).toEqual([-1, 5]));
  expect(source.opened).toBe(1);
  first.close();
  await vi.waitFor(() => expect(second.heard).toEqual([-1, 5, -2]));
  expect(source.opened).toBe(2);
  source.say(6);
  await vi.waitFor(() => expect(second.heard.at(-1)).toBe(6));
  expect(first.heard).not.toContain(6);
  second.close();
  await Promise.all([first.ended, second.ended]);
});

test("a leader that does not answer is not waited for, and where no locks are nobody waits", async () => {
  vi.stubGlobal("navigator", { locks: { request: () => new Promise(() => undefined) } });
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const source = new Source();
  const alone = window(source.as("b"));
  await vi.advanceTimersByTimeAsync(2_900);
  expect(source.opened).toBe(0);
  await vi.advanceTimersByTimeAsync(200);
  expect(alone.heard).toEqual([-1]);
  alone.close();
  await alone.ended;
  vi.stubGlobal("navigator", {});
  const plain = window(source.as("b"));
  await vi.advanceTimersByTimeAsync(1);
  expect(plain.heard).toEqual([-2]);
  plain.close();
  await plain.ended;
});
