// The right to a seat, kept fresh: token, addresses and CA, and the one place
// that sends them anywhere.

import { isLoopback } from "./address.js";
import { Backoff } from "./backoff.js";
import { pause, Scope, unlessAborted } from "./cancel.js";
import { AuthError, InvalidError, NotFoundError, UnavailableError } from "./errors.js";
import { fromAnswer } from "./faults.js";
import { lifeOf } from "./jwt.js";
import type { Platform, Trust } from "./platform.js";

/** Addresses of one seat's services. */
export interface Endpoints {
  readonly terminal: string;
  readonly files: string;
  readonly exec: string;
}

/** What a join, a refresh or an observer's call gives. */
export interface Grant {
  readonly token: string;
  readonly endpoints?: Endpoints | undefined;
  readonly gateway?: Endpoints | undefined;
  readonly publicEndpoints?: Endpoints | undefined;
  readonly caCertificate: string;
}

/** An HTTP request to one of a seat's services. */
export interface SeatRequest {
  readonly method: string;
  readonly headers?: Record<string, string>;
  readonly body?: BodyInit;
  readonly signal?: AbortSignal | undefined;
  /** Whether a repeat after a broken connection does no harm. */
  readonly idempotent: boolean;
}

/** Tries of one request, the first included. */
const TRIES = 4;
/** Part of a token's life after which it is renewed. */
const RENEW_AT = 2 / 3;
/** Refusals that another token may cure; an answer to HEAD says no more than its status. */
const STALE = /^(TOKEN_(EXPIRED|INVALID|OUTDATED|REVOKED)|HTTP_40[13])$/;
/** A renewal that failed is tried again after so long, in milliseconds. */
const RENEW_AGAIN_MS = 5_000;

/** A worker that has gone is told no longer than this of a renewal, in milliseconds. */
const SHOW_MS = 10_000;

/** The right to one seat. */
export class Access {
  readonly platform: Platform;
  #grant: Grant;
  readonly #issue: (grant: Grant) => Promise<Grant>;
  #renewing: Promise<void> | undefined;
  #choosing: Promise<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;
  #direct: boolean;
  /** Sockets that live by this token: the worker must hear of a newer one. */
  sockets = 0;
  /** Whether an answer may still be on its way under this token: of the same concern. */
  #asked = false;

  /** `issue` makes a newer grant of one, or throws why there is none. */
  constructor(platform: Platform, grant: Grant, issue: (grant: Grant) => Promise<Grant>) {
    this.platform = platform;
    this.#grant = grant;
    this.#issue = issue;
    this.#direct = platform.route === "direct";
    this.#schedule(lifeOf(grant.token) * RENEW_AT);
  }

  /** The seat token as it is now. */
  get token(): string {
    return this.#grant.token;
  }

  /** The seat has moved, as a watch says. */
  moved(to: Pick<Grant, "endpoints" | "gateway" | "publicEndpoints">): void {
    const { endpoints, publicEndpoints, gateway = this.#grant.gateway } = to;
    this.#grant = { ...this.#grant, endpoints, publicEndpoints, gateway };
  }

  /** Settles route `auto`, once the worker's address is known. */
  async chooseWay(signal?: AbortSignal): Promise<void> {
    if (this.platform.route !== "auto") return;
    this.#choosing ??= this.#choose();
    await unlessAborted(this.#choosing, signal);
  }

  /** Nobody answered: another way may lead there, so that route `auto` is settled again. */
  reconsider(): void {
    this.#choosing = undefined;
  }

  /** Where a service is, on the way that this client goes. */
  endpoint(service: keyof Endpoints): { url: string; trust: Trust } {
    const { gateway, caCertificate } = this.#grant;
    const direct = this.#direct;
    const url = (direct ? this.#grant[this.platform.straight] : gateway)?.[service];
    if (!url) {
      throw new UnavailableError("the seat has no machine yet: await waitReady() first", {
        reason: "SEAT_NOT_READY",
        retryAfterMs: 1000,
      });
    }
    const { protocol, hostname } = new URL(url);
    if (/^(http|ws):$/.test(protocol) && !isLoopback(hostname)) {
      throw new InvalidError(
        `the server offers plain ${protocol}//${hostname} for its seats: it needs a certificate, or the right --public-url`,
        { reason: "PLAIN_HTTP" },
      );
    }
    return { url, trust: direct ? caCertificate : this.platform.gatewayTrust };
  }

  /** Renews token and addresses now. Many callers share one renewal. */
  renew(signal?: AbortSignal): Promise<void> {
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewing = undefined;
    });
    return unlessAborted(this.#renewing, signal);
  }

  /** Shows the worker the present token, so that open sockets live on; throws its refusal. */
  async show(signal?: AbortSignal): Promise<void> {
    const { url, trust } = this.endpoint("terminal");
    const renewal = url.replace(/^ws/, "http").replace(/\/terminal$/, "/renew");
    const answer = await this.platform.fetch(
      renewal,
      this.#init({ method: "POST", signal }),
      trust,
    );
    if (!answer.ok) throw await fromAnswer(answer);
  }

  /**
   * Asks one of the services; `tail` is added to its URL. A token that is over
   * is renewed once; what only needs time is tried again.
   */
  async ask(service: "files" | "exec", tail: string, request: SeatRequest): Promise<Response> {
    const { signal } = request;
    const repeatable = !(request.body instanceof ReadableStream);
    const backoff = new Backoff();
    let renewed = false;
    this.#asked = true;
    for (;;) {
      const used = this.token;
      try {
        const { url, trust } = this.endpoint(service);
        const answer = await this.platform.fetch(url + tail, this.#init(request), trust);
        if (answer.ok) return answer;
        throw await fromAnswer(answer);
      } catch (error) {
        signal?.throwIfAborted();
        if (!repeatable) throw error;
        if (isStale(error) && !renewed) {
          renewed = true;
          if (used === this.token) await this.renew(signal);
          continue;
        }
        const lost = error instanceof UnavailableError && error.reason === "UNREACHABLE";
        const again = error instanceof UnavailableError && (!lost || request.idempotent);
        if (!again || backoff.tries >= TRIES - 1) throw error;
        await pause(backoff.next(error.retryAfterMs), signal);
        // The seat may have come back elsewhere.
        if (lost) {
          await this.renew(signal).catch(() => undefined);
          this.reconsider();
          await this.chooseWay(signal);
        }
      }
    }
  }

  /** No more renewals. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  async #choose(): Promise<void> {
    const url = this.#grant[this.platform.straight]?.terminal;
    this.#direct = url !== undefined && url !== "" && (await this.platform.isNear(url));
  }

  #init(request: Omit<SeatRequest, "idempotent">): RequestInit {
    const { method, headers, body, signal } = request;
    return {
      method,
      headers: { ...headers, authorization: `Bearer ${this.token}` },
      ...(body === undefined ? {} : { body }),
      ...(body instanceof ReadableStream ? { duplex: "half" } : {}),
      ...(signal === undefined ? {} : { signal }),
      redirect: "error",
      credentials: "omit",
    };
  }

  async #renew(): Promise<void> {
    const fresh = await this.#issue(this.#grant);
    this.#grant = fresh;
    // What could not be reached may be by now; nobody waits for the answer.
    if (this.platform.route === "auto" && !this.#direct) void this.#choose();
    this.#schedule(lifeOf(fresh.token) * RENEW_AT);
    if (this.sockets > 0 || this.#asked) {
      this.#asked = false;
      // A worker that is away now asks for the token when sockets come back.
      const told = new Scope({ timeoutMs: SHOW_MS }, "telling the worker");
      await this.show(told.signal).catch(() => undefined);
      told.close();
    }
  }

  /** By this machine's steady clock, for its calendar may be wrong. */
  #schedule(ms: number): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    this.#timer = setTimeout(() => {
      this.renew().catch((error) => {
        // A seat that is no more is told to whoever asks next.
        const over = error instanceof AuthError || error instanceof NotFoundError;
        if (!over) this.#schedule(RENEW_AGAIN_MS);
      });
    }, ms);
    // In Node a timer alone must not keep a program alive.
    (this.#timer as { unref?: () => void }).unref?.();
  }
}

/** Whether a refusal is about a token that is over or void, and another may be had. */
export function isStale(error: unknown): boolean {
  return error instanceof AuthError && STALE.test(error.reason);
}
