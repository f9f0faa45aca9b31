// The acts of the conformance kit, by this package.

import { type Act, type Json, matches } from "./kit.js";
import type { Client, House, Seat, Workshop } from "./live.js";
import { loseWorker } from "./worker.js";

type Terminal = Awaited<ReturnType<Seat["terminal"]>>;
type Line = { type?: string; until?: string; lose?: string; event?: string };
type News = AsyncGenerator<Json, void, undefined>;

const snake = (name: string): string => name.replaceAll(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);
const camel = (name: string): string => name.replaceAll(/_([a-z])/g, (_, c) => c.toUpperCase());

/** An answer, spelled as in the JSON face. */
function plain(value: Json): Json {
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [snake(key), plain(part)]));
}

/** What is asked for, spelled as in this package; whole seconds become milliseconds. */
function ours(given: Json): Json {
  const { ttl, ...more } = given;
  const members = Object.entries(more).map(([key, part]) => [camel(key), part]);
  return { ...Object.fromEntries(members), ...(ttl === undefined ? {} : { ttl: ttl * 1000 }) };
}

/** A message of either watch: what it is of, with its notices. */
function told(change: Json): Json {
  const { workshop, ...more } = plain(change);
  return { ...workshop, ...more };
}

async function play(terminal: Terminal, script: Line[]): Promise<void> {
  for (const { type, until } of script) {
    if (type !== undefined) await terminal.write(type);
    if (until !== undefined) await terminal.readUntil(until);
  }
}

/** All of them, by one way to the server. */
export function actsOf(house: House): Readonly<Record<string, Act>> {
  const clients = new Map<string, Client>();
  const seats = new Map<string, Seat>();
  const watches = new Map<string, News>();
  const client = (as: string | undefined): Client => {
    if (as === undefined) return house.client;
    const known = clients.get(as) ?? house.connect(as);
    clients.set(as, known);
    return known;
  };
  const found = async (given: Json, as?: string): Promise<Workshop> =>
    client(as).workshops.get(given.id);
  const seat = (given: Json): Seat => seats.get(given.seat) as Seat;
  const watched = async (news: News, keep: string | undefined): Promise<Json> => {
    const first = told((await news.next()).value);
    if (keep !== undefined) watches.set(keep, news);
    return first;
  };
  const change =
    (act: (workshop: Workshop, given: Json) => Promise<Workshop>): Act =>
    async (given, as) =>
      plain((await act(await found(given, as), given)).info);
  return {
    create: async (given, as) => plain((await client(as).workshops.create(ours(given))).info),
    get: change(async (workshop) => workshop),
    list: async (_, as) => {
      const workshops: Json[] = [];
      for await (const { info } of client(as).workshops.list()) workshops.push(plain(info));
      return { workshops };
    },
    update: change((workshop, { id: _, ...more }) => workshop.update(ours(more))),
    delete: change((workshop) => workshop.delete()),
    stop: change((workshop) => workshop.stop()),
    start: change((workshop) => workshop.start()),
    wait: change((workshop, { status }) => {
      const options = { timeoutMs: 100_000 };
      if (status === "stopped") return workshop.waitStopped(options);
      return status === "running" ? workshop.waitRunning(options) : workshop.waitDeleted(options);
    }),
    wait_seat: async (given) => {
      for await (const { workshop } of (await found(given)).watch()) {
        const one = workshop?.seatList[given.seat - 1];
        if (one && one.state === given.state && one.taken === given.taken) return plain(one);
      }
      return undefined;
    },
    reset_seat: async (given) => plain(await (await found(given)).resetSeat(given.seat)),
    revoke_seat: async (given) => plain(await (await found(given)).revokeSeat(given.seat)),
    create_token: async (given, as) => {
      const made = await client(as).tokens.create(given);
      return { token: made.token, ...plain(made.info) };
    },
    revoke_token: async ({ id }, as) => plain(await client(as).tokens.revoke(id)),
    join: async ({ code, ...more }, _, keep) => {
      const joined = await house.client.join(code, ours(more));
      if (keep !== undefined) seats.set(keep, joined);
      const { number, workshopId, workshopName, instructions, reconnectCode } = joined;
      return plain({ seat: number, workshopId, workshopName, instructions, reconnectCode });
    },
    refresh: (given) => seat(given).refresh(),
    run: async (given) => plain(await seat(given).run(given.command)),
    write: (given) => seat(given).files.write(given.path, given.text),
    read: async (given) => ({ text: await seat(given).files.readText(given.path) }),
    unlink: (given) => seat(given).files.delete(given.path),
    names: async (given) => {
      const entries = await seat(given).files.list(given.path);
      return { names: entries.map(({ name }) => name) };
    },
    watch: ({ id }, as, keep) => watched(client(as).workshops.watch(id), keep),
    watch_seat: (given, _, keep) => watched(seat(given).watch(), keep),
    heard: async ({ watch, until }) => {
      const news = watches.get(watch) as News;
      // Not by `for`, which would end the watch.
      for (let next = await news.next(); !next.done; next = await news.next()) {
        const said = told(next.value);
        if (matches(until, said)) return said;
      }
      throw new Error(`${JSON.stringify(until)} was never heard`);
    },
    ended: async ({ watch }) => {
      for await (const _ of watches.get(watch) as News);
    },
    estimate: async (given, as) => plain(await client(as).workshops.estimateCost(ours(given))),
    costs: async ({ workshop_ids }, as) => {
      const costs = [...(await client(as).workshops.costs(workshop_ids))];
      return {
        costs: costs.map(([id, { totalUsd }]) => ({
          workshop_id: id,
          total_microusd: Math.round((totalUsd ?? Number.NaN) * 1e6),
        })),
        price_known: costs.every(([, { totalUsd }]) => totalUsd !== undefined),
        explanation: costs[0]?.[1].explanation,
      };
    },
    terminal: async (given) => {
      const events: string[] = [];
      const onEvent = ({ type }: { type: string }) => events.push(type);
      await using terminal = await seat(given).terminal(given.name, { onEvent });
      for (const line of given.script as Line[]) {
        await play(terminal, [line]);
        if (line.lose !== undefined) loseWorker(await found({ id: line.lose }));
        while (line.event !== undefined && !events.includes(line.event)) await terminal.read();
      }
      if (given.script.at(-1).until !== undefined) return {};
      for await (const _ of terminal);
      return { exit_code: terminal.exitCode };
    },
    observe: async (given) => {
      await using view = await (await found(given)).observeSeat(given.seat, given.mode);
      await using terminal = await view.terminal(given.name);
      await play(terminal, given.script);
    },
    collect: async (given) => {
      await using work = await (await found(given)).collectSeat(given.seat);
      return { text: await work.files.readText(given.path) };
    },
  };
}
