import { ConflictError, NotFoundError, UnavailableError } from "../errors.js";
import { fromAnswer, fromNetwork } from "../faults.js";
import type { Socket, SocketRequest } from "../platform.js";
import { BEARER_OFFER, TERMINAL_PROTOCOL } from "../terminal_offer.js";

/** Opens the browser's own WebSocket; the token rides as a subprotocol offer. */
export async function openSocket(request: SocketRequest): Promise<Socket> {
  const { url, token, listener, signal } = request;
  signal.throwIfAborted();
  const socket = new WebSocket(url, [TERMINAL_PROTOCOL, BEARER_OFFER + token]);
  socket.binaryType = "arraybuffer";
  let open = false;
  const opened = new Promise<boolean>((resolve) => {
    const give = (): void => {
      socket.close();
      resolve(false);
    };
    signal.addEventListener("abort", give, { once: true });
    socket.onopen = () => {
      open = true;
      signal.removeEventListener("abort", give);
      resolve(true);
    };
    // Node 22 says no more than this of a refusal; browsers close it next.
    socket.onerror = () => {
      signal.removeEventListener("abort", give);
      resolve(false);
    };
    socket.onclose = (event) => {
      signal.removeEventListener("abort", give);
      resolve(false);
      if (open) listener.closed(event.code, event.reason);
    };
  });
  socket.onmessage = ({ data }: MessageEvent<ArrayBuffer | string>) => {
    if (typeof data === "string") listener.control(data);
    else listener.data(new Uint8Array(data));
  };
  if (!(await opened)) {
    signal.throwIfAborted();
    throw await whyNot(request);
  }
  return {
    get bufferedAmount(): number {
      return socket.bufferedAmount;
    },
    send: (frame) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(frame as string);
    },
    close: () => socket.close(),
  };
}

/**
 * A browser hides why an upgrade was refused. The same token, shown over HTTP,
 * is told; so is whether the machine answers. If it does, it was the terminal
 * that was refused. Observers get no files, whatever the machine does.
 */
async function whyNot({ url, token, signal }: SocketRequest): Promise<Error> {
  const { origin, pathname } = new URL(url.replace(/^ws/, "http"));
  const seat = origin + pathname.replace(/\/terminal$/, "");
  const init = { headers: { authorization: `Bearer ${token}` }, signal } as const;
  try {
    const renewed = await fetch(`${seat}/renew`, { ...init, method: "POST" });
    if (!renewed.ok) return await fromAnswer(renewed);
    const files = await fetch(`${seat}/files/`, { ...init, method: "HEAD" });
    if (files.status === 403) {
      return new NotFoundError("the learner has no such terminal open, as far as a page can tell", {
        reason: "TERMINAL_REFUSED",
      });
    }
    if (files.ok) {
      return new ConflictError("the seat refused this terminal: it has eight at most", {
        reason: "TERMINAL_REFUSED",
      });
    }
  } catch (thrown) {
    signal.throwIfAborted();
    return fromNetwork(thrown, seat);
  }
  return new UnavailableError("the terminal did not open: its machine may be starting", {
    reason: "NOT_RUNNING",
  });
}
