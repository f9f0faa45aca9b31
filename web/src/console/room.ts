// One workshop, watched: what its page draws from, a signal a seat.

import {
  type Client,
  type Notice,
  type ObserveMode,
  type Observer,
  type Preview,
  type SeatInfo,
  UnsupportedError,
  type Workshop,
  type WorkshopChange,
  type WorkshopCost,
  type WorkshopInfo,
} from "@clarateach/sdk";
import { type Signal, signal } from "@preact/signals";
import { awake } from "../app/awake.js";
import { shared } from "../app/shared.js";
import { told, who } from "./session.js";

/** One seat of the wall. */
export interface SeatView {
  readonly seat: number;
  readonly info: Signal<SeatInfo>;
  /** The last lines of its terminal; empty until the server says any. */
  readonly lines: Signal<readonly string[]>;
  /** The names of its terminals, as far as the server says them. */
  readonly terminals: Signal<readonly string[]>;
}

/** Lines of a preview that are drawn. */
const LINES = 6;
/** Keys are no news for a watch, or each would be: who typed last is asked so often, in milliseconds. */
const IDLE_MS = 5_000;
/** What it has cost is asked for so often, in milliseconds. */
const COST_MS = 60_000;

/** A workshop as its instructor watches it. */
export class Room {
  readonly info = signal<WorkshopInfo | undefined>(undefined);
  /** In order of their numbers; another list only when seats come or go. */
  readonly seats = signal<readonly SeatView[]>([]);
  readonly notices = signal<readonly Notice[]>([]);
  readonly trouble = signal("");
  /** What it has cost so far; undefined where the server does not say. */
  readonly cost = signal<WorkshopCost | undefined>(undefined);
  readonly #client: Client;
  readonly id: string;
  readonly #over = new AbortController();
  #idle: ReturnType<typeof setInterval> | undefined;
  #costs: ReturnType<typeof setInterval> | undefined;

  constructor(client: Client, id: string) {
    this.#client = client;
    this.id = id;
  }

  /** Watches until `close`. */
  open(): void {
    void this.#watch();
    void this.#preview();
    this.#idle = setInterval(() => void this.#look(), IDLE_MS);
    this.#costs = setInterval(() => void this.#price(), COST_MS);
  }

  close(): void {
    clearInterval(this.#idle);
    clearInterval(this.#costs);
    this.#over.abort();
  }

  /** Does something to the workshop; what goes wrong is shown. Whether it went well. */
  async act(does: (workshop: Workshop) => Promise<unknown>): Promise<boolean> {
    this.trouble.value = "";
    try {
      await does(await this.#client.workshops.get(this.id));
      return true;
    } catch (error) {
      this.trouble.value = told(error);
      return false;
    }
  }

  /** A way to look at a seat's terminal, or to help in it. */
  async observe(seat: number, mode: ObserveMode): Promise<Observer> {
    return (await this.#client.workshops.get(this.id)).observeSeat(seat, mode);
  }

  async #watch(): Promise<void> {
    const { signal: over } = this.#over;
    try {
      const changes = {
        name: `workshop.${this.id}.${await who()}`,
        open: (signal: AbortSignal) => this.#client.workshops.watch(this.id, { signal }),
        keep: (change: WorkshopChange) =>
          change.workshop && (["workshop", { ...change, notices: [] }] as const),
      };
      const watch = (signal: AbortSignal) => shared(changes, signal);
      for await (const { workshop, notices } of awake(watch, over)) {
        if (workshop) this.#take(workshop);
        if (notices.length > 0) this.notices.value = [...this.notices.value, ...notices].slice(-5);
      }
    } catch (error) {
      if (!over.aborted) this.trouble.value = told(error);
    }
  }

  /** The one stream of all screens. A server that has none yet leaves tiles without lines. */
  async #preview(): Promise<void> {
    const { signal: over } = this.#over;
    try {
      const workshop = await this.#client.workshops.get(this.id, { signal: over });
      const screens = {
        name: `previews.${this.id}.${await who()}`,
        open: (signal: AbortSignal) => workshop.watchPreviews({ signal }),
        keep: (preview: Preview) => [String(preview.seat), preview] as const,
      };
      const previews = (signal: AbortSignal) => shared(screens, signal);
      for await (const { seat, lines, terminals } of awake(previews, over)) {
        const view = this.seats.value.find((one) => one.seat === seat);
        if (!view) continue;
        view.lines.value = lines.slice(-LINES).map(harmless);
        // A list of the same names is no news.
        if (view.terminals.peek().join() !== terminals.join()) view.terminals.value = terminals;
      }
    } catch (error) {
      if (!over.aborted && !(error instanceof UnsupportedError)) this.trouble.value = told(error);
    }
  }

  async #price(): Promise<void> {
    if (document.hidden) return;
    try {
      const costs = await this.#client.workshops.costs([this.id], { signal: this.#over.signal });
      this.cost.value = costs.get(this.id);
    } catch (error) {
      // A server that does not say, or a line that is cut, which the watch tells.
      void error;
    }
  }

  /** When who typed last, for the whole wall in one call. */
  async #look(): Promise<void> {
    const over = /^delet/.test(this.info.value?.status ?? "deleted");
    if (document.hidden || over) return;
    const { signal } = this.#over;
    try {
      const workshop = await this.#client.workshops.get(this.id, { signal });
      if (workshop.status !== "deleted") this.#seats(workshop.info.seatList);
    } catch (error) {
      // The watch says it, and better.
      void error;
    }
  }

  #take(workshop: WorkshopInfo): void {
    const before = this.info.peek()?.status;
    // A worker began to cost, or ended.
    if (workshop.status !== before) void this.#price();
    // What was taken away, or stopped by hand, is there again.
    if (workshop.status === "running" && before !== "running") {
      this.notices.value = this.notices.value.filter(({ kind }) => kind !== "preempted");
    }
    this.info.value = workshop;
    this.#seats(workshop.seatList);
  }

  #seats(list: readonly SeatInfo[]): void {
    const before = new Map(this.seats.value.map((view) => [view.seat, view]));
    let same = before.size === list.length;
    const views = list.map((info) => {
      const view = before.get(info.seat);
      if (view) {
        // A tile is drawn again only when something of it changed.
        if (JSON.stringify(view.info.peek()) !== JSON.stringify(info)) view.info.value = info;
        return view;
      }
      same = false;
      const empty = (): Signal<readonly string[]> => signal<readonly string[]>([]);
      return { seat: info.seat, info: signal(info), lines: empty(), terminals: empty() };
    });
    if (!same) this.seats.value = views;
  }
}

/** A line without what could move, hide or turn text. */
function harmless(line: string): string {
  return line.replace(/[\p{Cc}\p{Cf}]/gu, "");
}
