// One stream for all tabs that watch the same thing: browsers allow six connections to an
// origin over HTTP/1.1, and a seventh would wait for ever.
//
// Way: a tab queues for the lock of what it watches and hears the leader meanwhile; once it
// has the lock it opens the stream, and tells the others. Who leaves passes the lock on.

/** What tabs may watch together. */
export interface Shared<T> {
  /** What is watched, and by whom: tabs that say the same share. */
  readonly name: string;
  /** Opens the stream; it begins with the whole state. */
  open(signal: AbortSignal): AsyncIterable<T>;
  /** What a tab that comes later must be told, under the name of what it replaces. */
  keep(value: T): readonly [name: string, value: T] | undefined;
}

/** What tabs say to each other. */
type Said<T> = { type: "ask" } | { type: "here" } | { type: "value"; value: T };

/** A leader that does not answer in so long is frozen, or broken: it is not waited for. In milliseconds. */
const ANSWER_MS = 3_000;

/** The stream, by one's own line or by another tab's. Browsers have locks where pages came safely. */
export async function* shared<T>(
  stream: Shared<T>,
  over: AbortSignal,
): AsyncGenerator<T, void, undefined> {
  const locks = navigator.locks as LockManager | undefined;
  if (!locks) return yield* stream.open(over);
  const name = `clarateach.${stream.name}`;
  const channel = new BroadcastChannel(name);
  const turn = queue(locks, name, over);
  try {
    const mine = yield* listen<T>(channel, turn.come);
    yield* mine ? lead(stream, channel, over) : stream.open(over);
  } finally {
    turn.leave();
    channel.close();
  }
}

/** Waits for the lock, and then keeps it until it leaves. */
function queue(locks: LockManager, name: string, signal: AbortSignal) {
  let leave = (): void => undefined;
  const left = new Promise<void>((resolve) => {
    leave = resolve;
  });
  const come = new Promise<void>((resolve, reject) => {
    locks
      .request(name, { signal }, () => {
        resolve();
        return left;
      })
      .catch(reject);
  });
  return { come, leave };
}

/** What the leader says, until it is one's own turn; false when nobody leads who answers. */
async function* listen<T>(
  channel: BroadcastChannel,
  come: Promise<void>,
): AsyncGenerator<T, boolean, undefined> {
  const heard: T[] = [];
  let wake = (): void => undefined;
  let turn: { mine: boolean } | { failed: unknown } | undefined;
  const settle = (how: NonNullable<typeof turn>): void => {
    turn ??= how;
    wake();
  };
  come.then(
    () => settle({ mine: true }),
    (failed) => settle({ failed }),
  );
  const silent = setTimeout(() => settle({ mine: false }), ANSWER_MS);
  channel.onmessage = ({ data }: MessageEvent<Said<T>>) => {
    if (data.type === "ask") return;
    clearTimeout(silent);
    if (data.type === "value") heard.push(data.value);
    wake();
  };
  say<T>(channel, { type: "ask" });
  try {
    for (;;) {
      for (let next = heard.shift(); next !== undefined; next = heard.shift()) yield next;
      if (turn && "failed" in turn) throw turn.failed;
      if (turn) return turn.mine;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    clearTimeout(silent);
    channel.onmessage = null;
  }
}

/** The stream itself, told to all who listen. */
async function* lead<T>(
  stream: Shared<T>,
  channel: BroadcastChannel,
  over: AbortSignal,
): AsyncGenerator<T, void, undefined> {
  const kept = new Map<string, T>();
  channel.onmessage = ({ data }: MessageEvent<Said<T>>) => {
    if (data.type !== "ask") return;
    say<T>(channel, { type: "here" });
    for (const value of kept.values()) say(channel, { type: "value", value });
  };
  for await (const value of stream.open(over)) {
    const entry = stream.keep(value);
    if (entry) kept.set(...entry);
    say(channel, { type: "value", value });
    yield value;
  }
}

function say<T>(channel: BroadcastChannel, said: Said<T>): void {
  channel.postMessage(said);
}
