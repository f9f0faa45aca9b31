import type { Transport } from "@connectrpc/connect";

/**
 * Which way leads to a seat: straight to its worker, through the control
 * plane, or straight if the worker can be reached from here.
 */
export type Route = "direct" | "gateway" | "auto";

/** Whom to trust: the pinned CA, PEM; the platform's own list when undefined. */
export type Trust = string | undefined;

/** What happens on a socket, in order. `closed` comes once and last. */
export interface SocketListener {
  /** Terminal data. */
  data(bytes: Uint8Array): void;
  /** A control frame. */
  control(text: string): void;
  /** It is over, with a WebSocket close code. */
  closed(code: number, reason: string): void;
}

/** An open WebSocket that agreed on `clarateach.terminal.v1`. */
export interface Socket {
  /** Bytes not yet handed to the network. */
  readonly bufferedAmount: number;
  /** Sends one frame; does nothing once it is closed. */
  send(frame: Uint8Array | string): void;
  /** Ends it; the listener is told. */
  close(): void;
}

/** How to open a socket. */
export interface SocketRequest {
  /** `ws` or `wss`, with a query. */
  readonly url: string;
  /** The seat token; it travels as a header or as a subprotocol offer, never in the URL. */
  readonly token: string;
  /** Whom to trust. */
  readonly trust: Trust;
  /** Told of everything, from the first frame on. */
  readonly listener: SocketListener;
  /** Ends the attempt. */
  readonly signal: AbortSignal;
}

/**
 * What Node and browsers do each in their own way. Two tenants: `node/` and
 * `browser/`; nothing else in this package knows where it runs.
 */
export interface Platform {
  /** Calls to the control plane. */
  readonly transport: Transport;
  /** The way to seats. */
  readonly route: Route;
  /** Which addresses lead straight to a worker from here. */
  readonly straight: "endpoints" | "publicEndpoints";
  /** Whom to trust on the way through the control plane. */
  readonly gatewayTrust: Trust;
  /** HTTP to a seat's services. Faults are ours already. */
  fetch(url: string, init: RequestInit, trust: Trust): Promise<Response>;
  /** Opens a WebSocket. A refusal is one of our errors; so is a failure. */
  openSocket(request: SocketRequest): Promise<Socket>;
  /** Whether a connection to the host and port of `url` opens from here; for route `auto`. */
  isNear(url: string): Promise<boolean>;
  /** Resolves when a lost connection is worth a try at once, or with the signal; absent where nothing tells. */
  restored?(signal: AbortSignal): Promise<void>;
  /** Lets go of idle connections. */
  close(): void;
}
