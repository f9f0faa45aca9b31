import { expect, test, vi } from "vitest";
import { openSocket } from "../../src/browser/socket.js";

/** What Node 22 has for a WebSocket tells of a refusal by an error alone. */
class Mute extends EventTarget {
  onerror: (() => void) | undefined;

  constructor() {
    super();
    queueMicrotask(() => this.onerror?.());
  }

  close(): void {
    // Nor does it say so when it is closed.
  }
}

test("a refusal that is an error and no close is one", async () => {
  vi.stubGlobal("WebSocket", Mute);
  vi.stubGlobal("fetch", async () => new Response(null, { status: 204 }));
  const request = {
    url: "ws://127.0.0.1:1/proxy/ws-0/1/terminal",
    token: "t",
    trust: undefined,
    listener: { data: () => undefined, control: () => undefined, closed: () => undefined },
    signal: new AbortController().signal,
  };
  await expect(openSocket(request)).rejects.toMatchObject({ reason: "TERMINAL_REFUSED" });
  vi.unstubAllGlobals();
});
