import { UnavailableError } from "../errors.js";
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

/** A browser hides why an upgrade was refused; the same token, shown over HTTP, is told. */
async function whyNot({ url, token, signal }: SocketRequest): Promise<Error> {
  const { origin, pathname } = new URL(url.replace(/^ws/, "http"));
  const renewal = origin + pathname.replace(/\/terminal$/, "/renew");
  try {
    const headers = { authorization: `Bearer ${token}` };
    const answer = await fetch(renewal, { method: "POST", headers, signal, credentials: "omit" });
    if (!answer.ok) return await fromAnswer(answer);
  } catch (thrown) {
    signal.throwIfAborted();
    return fromNetwork(thrown, renewal);
  }
  return new UnavailableError("the terminal did not open: its machine may be starting", {
    reason: "NOT_RUNNING",
  });
}
