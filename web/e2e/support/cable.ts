import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** A line to the server that can be cut: emulated absence leaves open WebSockets alone. */
export class Cable {
  readonly #server: Server;
  readonly #ends = new Set<Socket>();
  #cut = false;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Lays one, from a port of its own to where `to` is. */
  static async lay(to: string): Promise<Cable> {
    const { hostname, port } = new URL(to);
    const server = createServer();
    const cable = new Cable(server);
    server.on("connection", (near) => cable.#join(near, connect(Number(port), hostname)));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return cable;
  }

  /** What a page opens instead of the server. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Ends all that is open, and whatever comes. */
  cut(): void {
    this.#cut = true;
    for (const end of this.#ends) end.destroy();
  }

  mend(): void {
    this.#cut = false;
  }

  close(): void {
    this.cut();
    this.#server.close();
  }

  #join(near: Socket, far: Socket): void {
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#ends.add(one);
      one.on("error", () => undefined);
      one.on("close", () => {
        this.#ends.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
    if (this.#cut) near.destroy();
  }
}
