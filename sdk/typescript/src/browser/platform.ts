import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { fromNetwork } from "../faults.js";
import type { Platform } from "../platform.js";
import { restored } from "./restored.js";
import { openSocket } from "./socket.js";

/** A worker that does not answer in so long is not waited for, in milliseconds. */
const NEAR_MS = 3_000;

/**
 * Browsers: grpc-web on the control plane's own origin; seats straight at workers that have
 * a certificate for browsers, if this network lets them through, and else by the gateway.
 */
export function browserPlatform(baseUrl: string): Platform {
  return {
    transport: createGrpcWebTransport({ baseUrl }),
    route: "auto",
    straight: "publicEndpoints",
    gatewayTrust: undefined,
    fetch: async (url, init) => {
      try {
        return await fetch(url, init);
      } catch (thrown) {
        init.signal?.throwIfAborted();
        throw fromNetwork(thrown, url);
      }
    },
    openSocket,
    isNear,
    restored,
    // Connections are the browser's own.
    close: () => undefined,
  };
}

/**
 * Asked without a token, so that it refuses. That the refusal can be read says all: the name
 * leads there, its certificate is known, and pages of here may come.
 */
async function isNear(url: string): Promise<boolean> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), NEAR_MS);
  try {
    await fetch(url.replace(/^ws/, "http"), {
      credentials: "omit",
      cache: "no-store",
      signal: late.signal,
    });
    return true;
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
  }
}
