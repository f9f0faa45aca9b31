import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { fromNetwork } from "../faults.js";
import type { Platform } from "../platform.js";
import { restored } from "./restored.js";
import { openSocket } from "./socket.js";

/** Browsers: grpc-web and the gateway, on the control plane's own origin. */
export function browserPlatform(baseUrl: string): Platform {
  return {
    transport: createGrpcWebTransport({ baseUrl }),
    route: "gateway",
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
    // No browser trusts a workshop's own CA.
    isNear: async () => false,
    restored,
    // Connections are the browser's own.
    close: () => undefined,
  };
}
