import { afterAll, expect, test } from "vitest";
import { BaseClient } from "../../src/client.js";
import { NodeFiles } from "../../src/node/files.js";
import { nodePlatform } from "../../src/node/platform.js";
import type { Platform, Socket, SocketListener } from "../../src/platform.js";
import type { Terminal } from "../../src/terminal.js";
import { Cable } from "../support/cable.js";
import { stories, token, url } from "../support/live.js";

/** Long enough for many cuts, short enough to be kept by the seat: 589 KiB. */
const COUNT = 100_000;
const CUTS = 5;

/**
 * Has the shell count, cuts the line again and again, and checks every byte. `cut` says whether
 * there was a line: what came before it was cut may still be read when the next cut is due.
 */
async function countOver(terminal: Terminal, cut: () => boolean): Promise<void> {
  // In steps: the whole of it may be on its way before the first cut.
  const step = "seq $((n * 10000 + 1)) $((n * 10000 + 10000)); sleep 0.1";
  await terminal.write(
    `stty -onlcr; clear; echo st''art; for n in $(seq 0 9); do ${step}; done; echo e''nd\r`,
  );
  const decoder = new TextDecoder();
  let said = "";
  let next = 1;
  for await (const bytes of terminal) {
    said += decoder.decode(bytes, { stream: true });
    if (said.length > (next * COUNT * 5) / (CUTS + 1) && next <= CUTS && cut()) next += 1;
    if (said.includes("\nend\n")) break;
  }
  expect(next).toBe(CUTS + 1);
  const counted = said.slice(said.indexOf("start\n") + 6, said.indexOf("\nend\n"));
  const wanted = Array.from({ length: COUNT }, (_, n) => String(n + 1)).join("\n");
  expect(counted === wanted).toBe(true);
}

stories(
  "a line that is cut",
  (house) => {
    const cables: Cable[] = [];
    afterAll(() => {
      for (const cable of cables) cable.close();
    });
    const cabled = async () => {
      const cable = await Cable.to(url);
      cables.push(cable);
      return { cable, client: house.connect(token, cable.url) };
    };

    test("a terminal goes on at the very byte", async () => {
      const { cable, client } = await cabled();
      const { code } = await house.class();
      const seat = await client.join(code);
      await using terminal = await seat.terminal();
      await countOver(terminal, () => cable.cut());
      expect(cable.dialled).toBeGreaterThan(CUTS);
      seat.close();
    });

    test("a watch goes on, and calls are made again", async () => {
      const { cable, client } = await cabled();
      const workshop = await house.class();
      const names: string[] = [];
      for await (const update of client.workshops.watch(workshop.id)) {
        const { name, status } = update.workshop ?? { name: "", status: "" };
        names.push(name);
        if (status === "deleted") break;
        cable.unplug();
        if (name === "after the cut") await workshop.delete();
        else await workshop.update({ name: "after the cut" });
        cable.plug();
      }
      expect(names).toContain("after the cut");
    });

    test("what is typed while it is out waits for its return", async () => {
      const { cable, client } = await cabled();
      const { code } = await house.class();
      const seat = await client.join(code);
      const events: string[] = [];
      await using terminal = await seat.terminal("main", {
        onEvent: ({ type }) => events.push(type),
      });
      await terminal.readUntil("$");
      cable.unplug();
      const reading = terminal.readUntil("hello");
      await expect.poll(() => events, { timeout: 30_000 }).toContain("disconnected");
      const writing = terminal.write("echo he''llo\r");
      cable.plug();
      await writing;
      await reading;
      seat.close();
    });
  },
  ["node, gateway", "browser entry"],
);

stories(
  "a line to a worker that is cut",
  (house) => {
    test("a terminal goes on at the very byte", async () => {
      const lines = new Cutter(nodePlatform(url, undefined, "direct"));
      const client = new BaseClient(lines, url, undefined, (a, r) => new NodeFiles(a, r));
      const { code } = await house.class();
      const seat = await client.join(code);
      await using terminal = await seat.terminal();
      await countOver(terminal, () => lines.cut());
      expect(lines.opened).toBe(CUTS + 1);
      seat.close();
      client.close();
    });

    test("a size and a consent that come while a line is being made are said on it", async () => {
      const lines = new Cutter(nodePlatform(url, undefined, "direct"));
      const client = new BaseClient(lines, url, undefined, (a, r) => new NodeFiles(a, r));
      const { code } = await house.class();
      const seat = await client.join(code);
      const events: string[] = [];
      await using terminal = await seat.terminal("main", {
        cols: 80,
        rows: 24,
        onEvent: ({ type }) => events.push(type),
      });
      await terminal.readUntil("$");
      lines.dialling = () => {
        terminal.resize(91, 21);
        terminal.consent("helper", true);
        terminal.consent("helper", false);
      };
      lines.cut();
      const reading = terminal.readUntil("done");
      // What is typed before would go out on the line that was cut.
      await expect.poll(() => events, { timeout: 30_000 }).toContain("disconnected");
      await terminal.write("stty size; echo do''ne\r");
      expect(await reading).toContain("21 91");
      expect(lines.opened).toBe(2);
      expect(lines.said.filter((frame) => frame.includes("consent"))).toEqual([
        '{"type":"consent","viewer":"helper","allow":false}',
      ]);
      seat.close();
      client.close();
    });
  },
  ["node, direct"],
);

/** A platform whose sockets can be cut, where no cable can be put in between. */
class Cutter implements Platform {
  readonly transport: Platform["transport"];
  readonly route: Platform["route"];
  readonly straight: Platform["straight"];
  readonly gatewayTrust: Platform["gatewayTrust"];
  readonly fetch: Platform["fetch"];
  readonly isNear: Platform["isNear"];
  readonly close: Platform["close"];
  /** Sockets opened so far. */
  opened = 0;
  /** Text frames that were sent. */
  readonly said: string[] = [];
  /** Called once a socket was asked for, with everything that its query says. */
  dialling: () => void = () => undefined;
  #socket: Socket | undefined;
  #listener: SocketListener | undefined;

  constructor(private readonly inner: Platform) {
    this.transport = inner.transport;
    this.route = inner.route;
    this.straight = inner.straight;
    this.gatewayTrust = inner.gatewayTrust;
    this.fetch = inner.fetch;
    this.isNear = inner.isNear;
    this.close = inner.close;
  }

  readonly openSocket: Platform["openSocket"] = async (request) => {
    let deaf = false;
    const { listener } = request;
    this.#listener = {
      data: (bytes) => deaf || listener.data(bytes),
      control: (text) => deaf || listener.control(text),
      closed: (code, reason) => {
        if (!deaf) listener.closed(code, reason);
        deaf = true;
      },
    };
    const opening = this.inner.openSocket({ ...request, listener: this.#listener });
    this.dialling();
    const socket = await opening;
    this.#socket = socket;
    this.opened += 1;
    return {
      get bufferedAmount(): number {
        return socket.bufferedAmount;
      },
      send: (frame) => {
        if (typeof frame === "string") this.said.push(frame);
        socket.send(frame);
      },
      close: () => socket.close(),
    };
  };

  cut(): boolean {
    const socket = this.#socket;
    this.#socket = undefined;
    this.#listener?.closed(1006, "cut");
    socket?.close();
    return socket !== undefined;
  }
}
