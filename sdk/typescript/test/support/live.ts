// A live server, as CLARATEACH_URL and CLARATEACH_TOKEN_FILE say, and both
// entries of the package before it.

import { readFileSync } from "node:fs";
import { WebSocket as StandardWebSocket } from "undici";
import { afterAll, describe } from "vitest";
import * as browser from "../../src/browser.js";
import * as node from "../../src/node.js";

/** What a story needs of an entry; both give it. */
export type Client = node.Client | browser.Client;
export type Workshop = node.Workshop | browser.Workshop;
export type Seat = node.Seat | browser.Seat;

export const url: string = process.env.CLARATEACH_URL ?? "";
const tokenFile = process.env.CLARATEACH_TOKEN_FILE ?? "";
/** An admin's token; empty without a server. */
export const token: string = tokenFile === "" ? "" : readFileSync(tokenFile, "utf8");

// Node 20 has no WebSocket of its own; this one is the browsers', to the letter.
globalThis.WebSocket ??= StandardWebSocket as unknown as typeof WebSocket;

/** The ways that every story is told. */
export const entries: Record<string, (url: string, token?: string) => Client> = {
  "node, direct": (at, as) =>
    new node.Client({ url: at, ...(as && { token: as }), route: "direct" }),
  "node, gateway": (at, as) =>
    new node.Client({ url: at, ...(as && { token: as }), route: "gateway" }),
  "browser entry": (at, as) => new browser.Client({ url: at, ...(as && { token: as }) }),
};

/** Stories of one theme, once for each entry; without a server they say so and are passed over. */
export function stories(
  theme: string,
  tell: (house: House, way: string) => void,
  ways: string[] = Object.keys(entries),
): void {
  if (url === "") {
    console.log(`SKIPPED: ${theme}: CLARATEACH_URL and CLARATEACH_TOKEN_FILE name no live server`);
    describe.skip(theme, () => undefined);
    return;
  }
  for (const way of ways) {
    describe(`${theme} (${way})`, () => {
      const house = new House(entries[way] as (typeof entries)[string]);
      afterAll(() => house.close());
      tell(house, way);
    });
  }
}

/** One theme's client, and what it made. */
export class House {
  readonly client: Client;
  readonly #made: Workshop[] = [];
  readonly #open: { close(): unknown }[] = [];

  constructor(private readonly entry: (url: string, token?: string) => Client) {
    this.client = this.connect(token);
  }

  /** Another client of the same kind. */
  connect(as?: string, at: string = url): Client {
    const client = this.entry(at, as);
    this.#open.push(client);
    return client;
  }

  /** A running workshop. */
  async class(seats = 1, client: Client = this.client): Promise<Workshop> {
    const workshop = await client.workshops.create({
      name: "story",
      seats,
      runtime: "container",
      ttl: "1h",
    });
    this.#made.push(workshop);
    return workshop.waitRunning({ timeoutMs: 100_000 });
  }

  /** A learner in a workshop of their own, or in this one. */
  async learner(workshop?: Workshop): Promise<Seat> {
    const { code } = workshop ?? (await this.class());
    const seat = await this.connect().join(code, { name: "learner one" });
    this.#open.push(seat);
    return seat;
  }

  /** Everything of it goes. */
  async close(): Promise<void> {
    await Promise.all(
      this.#made.map(async ({ id }) => {
        // As the admin: the token that made it may be gone.
        const workshop = await this.client.workshops.get(id);
        await workshop.delete();
        await workshop.waitDeleted({ timeoutMs: 100_000 });
      }),
    );
    for (const one of this.#open) one.close();
  }
}
