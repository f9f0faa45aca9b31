// The line to a terminal: dials, notices when nobody answers any more, and
// dials again for as long as that makes sense.

import { type Access, isStale } from "./access.js";
import { Backoff } from "./backoff.js";
import { Scope } from "./cancel.js";
import {
  AuthError,
  ClarateachError,
  ConnectionLostError,
  NotFoundError,
  UnavailableError,
} from "./errors.js";
import type { Socket } from "./platform.js";
import { renewIfAnswered } from "./renewing.js";
import { rest } from "./rest.js";

/** A line that cannot be mended for so long is given up, in milliseconds. */
const GIVE_UP_MS = 5 * 60_000;
/** How long one attempt to connect may take, in milliseconds. */
const DIAL_MS = 10_000;
/** How often the far end is asked for a sign of life, in milliseconds. */
const PING_MS = 20_000;
/** Questions without an answer after which a line is dead. */
const UNANSWERED = 3;

/** What the line needs of its terminal. */
export interface LineUser {
  /** The query of the next attach, such as `terminal=main&offset=17`. */
  query(): string;
  data(bytes: Uint8Array): void;
  control(text: string): void;
  /** A socket is open. */
  connected(socket: Socket): void;
  /** It is gone, and another is being made. */
  disconnected(code: number, reason: string): void;
  /** Waits until more may come in. */
  room(): Promise<void>;
}

/** A browser learns of a refusal without its cause: so often in a row it is believed. */
const BELIEVED = 3;

/** Close codes after which there is nothing to come back to. */
const FINAL: Record<number, () => ClarateachError> = {
  4403: () =>
    new AuthError("the seat was taken from this learner: join again for another", {
      reason: "SEAT_REVOKED",
    }),
  4404: () => new NotFoundError("the worker has no such seat", { reason: "SEAT_UNKNOWN" }),
  4410: () => new NotFoundError("the seat is gone, with its workshop", { reason: "WORKSHOP_OVER" }),
};
/** Close codes that say our own frames were wrong. */
const OUR_FAULT = [1002, 1003, 1007, 1008, 1009];
/** Close codes that call for another token: expired, and reset. */
const STALE = [4401, 4409];
/** A connection that held so long was a good one: the next failure begins anew, in milliseconds. */
const GOOD_MS = 5_000;

/** Keeps a terminal connected until its shell ends. Throws why it cannot, or the signal's reason. */
export async function keepLine(access: Access, user: LineUser, signal: AbortSignal): Promise<void> {
  const backoff = new Backoff();
  let failing: number | undefined;
  let refused = 0;
  access.sockets += 1;
  try {
    for (;;) {
      signal.throwIfAborted();
      let failure: ClarateachError | undefined;
      let opened = Number.POSITIVE_INFINITY;
      try {
        const { code, reason } = await oneSocket(access, user, signal, () => {
          failing = undefined;
          refused = 0;
          opened = performance.now();
        });
        if (performance.now() - opened > GOOD_MS) backoff.reset();
        if (code === 1000) return;
        const final = FINAL[code];
        if (final !== undefined) throw final();
        if (OUR_FAULT.includes(code)) {
          throw new ClarateachError(`the server closed the terminal with ${code}: ${reason}`, {
            reason: "BAD_FRAME",
          });
        }
        user.disconnected(code, reason);
        if (STALE.includes(code)) await renewIfAnswered(access, signal);
        await user.room();
      } catch (error) {
        signal.throwIfAborted();
        failure = error as ClarateachError;
        if (failure.reason === "TERMINAL_REFUSED") refused += 1;
        await cure(access, failure, signal, refused < BELIEVED);
      }
      const now = performance.now();
      failing ??= now;
      if (now - failing > GIVE_UP_MS) {
        throw new ConnectionLostError(
          "the terminal could not be reached again within five minutes",
          {
            reason: "CONNECTION_LOST",
            cause: failure,
          },
        );
      }
      await rest(access.platform, backoff.next(failure?.retryAfterMs), signal);
    }
  } finally {
    access.sockets -= 1;
  }
}

/** Does what may help against a failed attempt; throws what nothing helps against. */
async function cure(
  access: Access,
  failure: ClarateachError,
  signal: AbortSignal,
  doubted: boolean,
): Promise<void> {
  if (failure.reason === "TERMINAL_REFUSED" && doubted) return;
  // A worker that was made anew hears of its seats a moment later.
  const passing = failure instanceof UnavailableError || failure.reason === "SEAT_UNKNOWN";
  if (!isStale(failure) && !passing) throw failure;
  // The seat may have come back elsewhere; the answer has its present address.
  await renewIfAnswered(access, signal);
  if (failure.reason === "UNREACHABLE") access.reconsider();
}

/** One socket from its opening to its end. */
async function oneSocket(
  access: Access,
  user: LineUser,
  signal: AbortSignal,
  opened: () => void,
): Promise<{ code: number; reason: string }> {
  await access.chooseWay(signal);
  const { url, trust } = access.endpoint("terminal");
  const dialling = new Scope({ signal });
  const late = setTimeout(() => {
    dialling.abort(
      new UnavailableError("the terminal did not answer in time", { reason: "UNREACHABLE" }),
    );
  }, DIAL_MS);
  let silent = 0;
  let over: (end: { code: number; reason: string }) => void = () => undefined;
  const ended = new Promise<{ code: number; reason: string }>((resolve) => {
    over = resolve;
  });
  let deaf = false;
  const listener = {
    data: (bytes: Uint8Array): void => {
      if (deaf) return;
      silent = 0;
      user.data(bytes);
    },
    control: (text: string): void => {
      if (deaf) return;
      silent = 0;
      user.control(text);
    },
    closed: (code: number, reason: string): void => over({ code, reason }),
  };
  let socket: Socket | undefined;
  let ping: ReturnType<typeof setInterval> | undefined;
  const hangUp = (): void => over({ code: 1006, reason: "aborted" });
  try {
    socket = await access.platform.openSocket({
      url: `${url}?${user.query()}`,
      token: access.token,
      trust,
      listener,
      signal: dialling.signal,
    });
    clearTimeout(late);
    opened();
    ping = setInterval(() => {
      // A network that vanished without a word is not waited for.
      if (silent >= UNANSWERED) over({ code: 1006, reason: "no sign of life" });
      silent += 1;
      socket?.send('{"type":"ping"}');
    }, PING_MS);
    signal.addEventListener("abort", hangUp, { once: true });
    const open = socket;
    user.connected({
      get bufferedAmount(): number {
        return open.bufferedAmount;
      },
      send: (frame) => open.send(frame),
      // At once: a far end that floods would be long in saying goodbye.
      close: () => over({ code: 1006, reason: "closed here" }),
    });
    return await ended;
  } catch (error) {
    if (dialling.signal.aborted) throw dialling.signal.reason;
    throw error;
  } finally {
    deaf = true;
    clearTimeout(late);
    clearInterval(ping);
    dialling.close();
    signal.removeEventListener("abort", hangUp);
    socket?.close();
  }
}
