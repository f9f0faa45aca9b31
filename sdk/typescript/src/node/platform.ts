import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { Agent, fetch as undiciFetch } from "undici";
import { fromNetwork } from "../faults.js";
import type { Platform, Route, Trust } from "../platform.js";
import { isNear } from "./near.js";
import { openSocket } from "./socket.js";

/** A connection that does not come about in so long does not, in milliseconds. */
const CONNECT_MS = 10_000;
/** How long a seat may take for the head of an answer: time to copy its largest folder. */
const HEAD_MS = 130_000;
/** How often an open connection is asked for a sign of life, in milliseconds. */
const PING_MS = 20_000;

/** Node: gRPC, and seats straight at their worker under the workshop's own CA. */
export function nodePlatform(baseUrl: string, ca: Trust, route: Route): Platform {
  const sessions = new Http2SessionManager(baseUrl, { pingIntervalMs: PING_MS }, tls(ca));
  const agents = new Map<Trust, Agent>();
  const agent = (trust: Trust): Agent => {
    let found = agents.get(trust);
    if (found === undefined) {
      const connect = { timeout: CONNECT_MS, ...tls(trust) };
      // A command may be silent for hours: its body has no limit.
      found = new Agent({ connect, headersTimeout: HEAD_MS, bodyTimeout: 0 });
      agents.set(trust, found);
    }
    return found;
  };
  return {
    transport: createGrpcTransport({ baseUrl, sessionManager: sessions }),
    route,
    straight: "endpoints",
    gatewayTrust: ca,
    fetch: async (url, init, trust) => {
      const options = { ...init, dispatcher: agent(trust) } as Parameters<typeof undiciFetch>[1];
      try {
        // The same shape as the global one, of which undici has types of its own.
        return (await undiciFetch(url, options)) as unknown as Response;
      } catch (thrown) {
        init.signal?.throwIfAborted();
        throw fromNetwork(thrown, url);
      }
    },
    openSocket,
    isNear,
    close: () => {
      sessions.abort();
      for (const each of agents.values()) each.close().catch(() => undefined);
      agents.clear();
    },
  };
}

/** The workshop's CA instead of the system's, never beside it. */
export function tls(trust: Trust): { ca?: string } {
  return trust === undefined ? {} : { ca: trust };
}
