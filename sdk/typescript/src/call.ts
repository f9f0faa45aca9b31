// One call of the control plane: headers, deadline, and repeats where they are safe.

import { type Client, createClient } from "@connectrpc/connect";
import { Backoff } from "./backoff.js";
import { type CallOptions, pause, Scope } from "./cancel.js";
import { UnavailableError } from "./errors.js";
import { fromCall } from "./faults.js";
import {
  SeatService,
  TokenService,
  WorkshopService,
} from "./gen/clarateach/workshop/v1/workshop_pb.js";
import type { Platform } from "./platform.js";
import { VERSION } from "./version.js";

/** Tries of one call, the first included. */
const TRIES = 4;
/** Of a call whose caller says nothing, in milliseconds. */
const DEFAULT_TIMEOUT_MS = 60_000;

/** What connect wants to know of one call. */
export interface Ready {
  readonly signal: AbortSignal;
  readonly headers: Record<string, string>;
}

/** What the caller knows of one call. */
export interface Plan extends CallOptions {
  /** Whether a repeat does no harm: a read, or a call with a request id. */
  readonly repeatable: boolean;
  /** For errors. */
  readonly requestId?: string | undefined;
  /** Instead of the client's own token. */
  readonly token?: string | undefined;
}

/** Speaks to one control plane. */
export class Caller {
  readonly workshops: Client<typeof WorkshopService>;
  readonly tokens: Client<typeof TokenService>;
  readonly seats: Client<typeof SeatService>;
  readonly #token: string | undefined;

  constructor(
    readonly platform: Platform,
    readonly url: string,
    token: string | undefined,
  ) {
    this.#token = token;
    this.workshops = createClient(WorkshopService, platform.transport);
    this.tokens = createClient(TokenService, platform.transport);
    this.seats = createClient(SeatService, platform.transport);
  }

  /** Makes a call, again if that may help; throws only errors of ours, or the signal's reason. */
  async unary<T>(plan: Plan, call: (ready: Ready) => Promise<T>): Promise<T> {
    const timeoutMs = plan.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const scope = new Scope({ signal: plan.signal, timeoutMs }, `the call to ${this.url}`);
    const backoff = new Backoff();
    try {
      for (;;) {
        scope.signal.throwIfAborted();
        try {
          return await call({ signal: scope.signal, headers: this.headers(plan.token) });
        } catch (thrown) {
          if (scope.signal.aborted) throw scope.signal.reason;
          const error = fromCall(thrown, this.url, plan.requestId);
          const again = plan.repeatable && error instanceof UnavailableError;
          if (!again || backoff.tries >= TRIES - 1) throw error;
          await pause(backoff.next(error.retryAfterMs), scope.signal);
        }
      }
    } finally {
      scope.close();
    }
  }

  /** The headers of a call, with `token` instead of the client's own if it is given. */
  headers(token: string | undefined = this.#token): Record<string, string> {
    const agent = { "x-user-agent": `clarateach-sdk-js/${VERSION}` };
    return token === undefined ? agent : { ...agent, authorization: `Bearer ${token}` };
  }
}
