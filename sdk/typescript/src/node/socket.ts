import { WebSocket } from "ws";
import { UnavailableError } from "../errors.js";
import { fromNetwork, fromRefusal } from "../faults.js";
import type { Socket, SocketRequest } from "../platform.js";
import { TERMINAL_PROTOCOL } from "../terminal_offer.js";

/** A handshake that takes longer has failed, in milliseconds. */
const HANDSHAKE_MS = 10_000;
/** No frame of a terminal is longer, in bytes. */
const LONGEST_FRAME = 1024 * 1024;
/** Of a refusal's body, that is read, in bytes. */
const LONGEST_REFUSAL = 64 * 1024;

/** Opens a WebSocket under the pinned CA; the token travels as a header. */
export function openSocket(request: SocketRequest): Promise<Socket> {
  const { url, token, trust, listener, signal } = request;
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const socket = new WebSocket(url, [TERMINAL_PROTOCOL], {
      headers: { authorization: `Bearer ${token}` },
      handshakeTimeout: HANDSHAKE_MS,
      perMessageDeflate: false,
      maxPayload: LONGEST_FRAME,
      ...(trust === undefined ? {} : { ca: trust }),
    });
    const give = (): void => {
      reject(signal.reason);
      socket.terminate();
    };
    signal.addEventListener("abort", give, { once: true });
    let open = false;
    socket.on("open", () => {
      open = true;
      signal.removeEventListener("abort", give);
      resolve({
        get bufferedAmount(): number {
          return socket.bufferedAmount;
        },
        send: (frame) => {
          if (socket.readyState === WebSocket.OPEN) socket.send(frame);
        },
        close: () => socket.close(),
      });
    });
    socket.on("unexpected-response", (_request, answer) => {
      let body = "";
      answer.setEncoding("utf8");
      answer.on("data", (text: string) => {
        if (body.length < LONGEST_REFUSAL) body += text;
      });
      const done = (): void => {
        signal.removeEventListener("abort", give);
        reject(fromRefusal(answer.statusCode ?? 0, body));
        socket.terminate();
      };
      answer.on("end", done);
      answer.on("error", done);
    });
    socket.on("message", (data: Buffer, binary) => {
      if (!binary) return listener.control(data.toString("utf8"));
      // A view, not a Buffer: nothing of Node's leaves this file.
      listener.data(new Uint8Array(data.buffer, data.byteOffset, data.length));
    });
    socket.on("error", (thrown) => {
      signal.removeEventListener("abort", give);
      if (!open) reject(wrong(thrown, url));
    });
    socket.on("close", (code, reason) => {
      if (open) listener.closed(code, reason.toString("utf8"));
    });
  });
}

function wrong(thrown: Error, url: string): Error {
  if (/handshake has timed out/.test(thrown.message)) {
    return new UnavailableError("the terminal did not answer in time", {
      reason: "UNREACHABLE",
      cause: thrown,
    });
  }
  return fromNetwork(thrown, url);
}
