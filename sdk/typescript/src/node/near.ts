import { connect } from "node:net";

/** A worker that takes longer to answer is not near, in milliseconds. */
const NEAR_MS = 3_000;

/** Whether a connection to the host and port of `url` opens from here. */
export function isNear(url: string): Promise<boolean> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect({ host: hostname.replace(/^\[|\]$/g, ""), port: Number(port) || 443 });
    const say = (near: boolean) => (): void => {
      socket.destroy();
      resolve(near);
    };
    socket.setTimeout(NEAR_MS, say(false));
    socket.once("connect", say(true));
    socket.once("error", say(false));
  });
}
