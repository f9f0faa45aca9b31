import type { AddressInfo } from "node:net";
import { connect, createServer, type Server, type Socket } from "node:net";

/** A cable to a server that can be cut: TCP through a port of its own. */
export class Cable {
  readonly #server: Server;
  readonly #ends = new Set<Socket>();
  #plugged = true;
  /** Connections made so far. */
  dialled = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** To the server at `url`; what is idle for `idleMs` is cut, as proxies do. */
  static async to(url: string, idleMs = 0): Promise<Cable> {
    const { hostname, port } = new URL(url);
    const server = createServer({ allowHalfOpen: false });
    const cable = new Cable(server);
    server.on("connection", (near) => {
      if (!cable.#plugged) return near.destroy();
      cable.dialled += 1;
      const far = connect(Number(port), hostname);
      near.setTimeout(idleMs, () => near.destroy());
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        cable.#ends.add(one);
        one.pipe(other);
        one.on("error", () => undefined);
        one.on("close", () => {
          cable.#ends.delete(one);
          other.destroy();
        });
      }
      return undefined;
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return cable;
  }

  /** Where to connect instead of to the server. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Cuts every connection; the next ones work. False if there was none. */
  cut(): boolean {
    const any = this.#ends.size > 0;
    for (const end of this.#ends) end.destroy();
    this.#ends.clear();
    return any;
  }

  /** Cuts every connection, and lets none through until `plug`. */
  unplug(): void {
    this.#plugged = false;
    this.cut();
  }

  /** Lets connections through again. */
  plug(): void {
    this.#plugged = true;
  }

  close(): void {
    this.unplug();
    this.#server.close();
  }
}
