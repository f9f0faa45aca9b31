import type { Caller } from "./call.js";
import type { CallOptions } from "./cancel.js";
import type { Duration } from "./duration.js";
import type { Files, FilesOf } from "./files.js";
import { RuntimeSchema } from "./gen/clarateach/workshop/v1/workshop_pb.js";
import { requestId } from "./request_id.js";
import type {
  CostEstimate,
  Egress,
  Resources,
  Runtime,
  WorkshopChange,
  WorkshopCost,
  WorkshopInfo,
} from "./types.js";
import * as wire from "./wire.js";
import { Workshop } from "./workshop.js";
import { watchWorkshop } from "./workshop_watch.js";

/** A wish for a workshop. */
export interface WorkshopWish extends CallOptions {
  /** What people call it, 1 to 100 characters. */
  readonly name: string;
  /** 1 to the server's maximum. */
  readonly seats: number;
  /** Must be one that the server gives: `container` or `firecracker`. */
  readonly runtime: Runtime;
  /** Time until it deletes itself; the server's default when absent. */
  readonly ttl?: Duration;
  /** Environment of every learner's shell. No server shows it again. */
  readonly env?: Readonly<Record<string, string>>;
  /** What each seat's machine has. */
  readonly resources?: Resources;
  /** What its seats may reach; the internet when absent. */
  readonly egress?: Egress;
  /** The root filesystem; `base` when absent. */
  readonly template?: string;
  /** What learners read beside their terminal, Markdown, at most 64 KiB. */
  readonly instructions?: string;
  /** The same id with the same wish gives the same workshop; made when absent. */
  readonly requestId?: string;
}

/** Which workshops to list. */
export interface ListOptions extends CallOptions {
  /** Also those deleted in the last seven days. */
  readonly showDeleted?: boolean;
  /** How many are asked for at once, 1 to 500. */
  readonly pageSize?: number;
}

/** One page of workshops, for those who page by hand. */
export interface WorkshopPage {
  /** Newest first, without their seat lists. */
  readonly workshops: readonly WorkshopInfo[];
  /** For the next page; empty at the end. */
  readonly nextPageToken: string;
}

/** The shape of a workshop to price. */
export interface CostWish extends CallOptions {
  readonly seats: number;
  readonly runtime: Runtime;
  readonly ttl: Duration;
  readonly resources?: Resources;
}

/** Workshops of the token's principal; an admin's are everybody's. */
export class Workshops<F extends Files = Files> {
  readonly #caller: Caller;
  readonly #files: FilesOf<F>;

  constructor(caller: Caller, files: FilesOf<F>) {
    this.#caller = caller;
    this.#files = files;
  }

  /**
   * Asks for a workshop; it is being made when this returns, so
   * `waitRunning` comes next.
   */
  async create(wish: WorkshopWish): Promise<Workshop<F>> {
    const id = wish.requestId ?? requestId();
    const request = {
      name: wish.name,
      seats: wish.seats,
      runtime: wire.number<number>(RuntimeSchema, wish.runtime, "runtime"),
      ...present("ttl", wire.duration(wish.ttl, "ttl")),
      env: { ...wish.env },
      ...present("resources", wish.resources),
      ...present("egress", wish.egress && wire.egressOf(wish.egress)),
      template: wish.template ?? "",
      instructions: wish.instructions ?? "",
      requestId: id,
    };
    const plan = { ...wish, repeatable: true, requestId: id };
    const made = await this.#caller.unary(plan, (ready) =>
      this.#caller.workshops.createWorkshop(request, ready),
    );
    return new Workshop(this.#caller, wire.workshop(made), this.#files);
  }

  /** One workshop, with its workers and seats. */
  async get(id: string, options: CallOptions = {}): Promise<Workshop<F>> {
    const found = await this.#caller.unary({ ...options, repeatable: true }, (ready) =>
      this.#caller.workshops.getWorkshop({ id }, ready),
    );
    return new Workshop(this.#caller, wire.workshop(found), this.#files);
  }

  /** All workshops, newest first, without their seat lists; pages are fetched as they are needed. */
  async *list(options: ListOptions = {}): AsyncGenerator<Workshop<F>, void, undefined> {
    let pageToken = "";
    do {
      const page = await this.page(pageToken, options);
      for (const info of page.workshops) yield new Workshop(this.#caller, info, this.#files);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
  }

  /** One page of workshops, from `pageToken` of the page before; the first when it is empty. */
  async page(pageToken = "", options: ListOptions = {}): Promise<WorkshopPage> {
    const { pageSize = 0, showDeleted = false } = options;
    const answer = await this.#caller.unary({ ...options, repeatable: true }, (ready) =>
      this.#caller.workshops.listWorkshops({ pageSize, pageToken, showDeleted }, ready),
    );
    return {
      workshops: answer.workshops.map(wire.workshop),
      nextPageToken: answer.nextPageToken,
    };
  }

  /** The whole workshop at once and after every change, until it is deleted. Breaks are mended. */
  watch(
    id: string,
    options: Pick<CallOptions, "signal"> = {},
  ): AsyncGenerator<WorkshopChange, void, undefined> {
    return watchWorkshop(this.#caller, id, options.signal);
  }

  /** What a workshop of this shape would cost. */
  async estimateCost(wish: CostWish): Promise<CostEstimate> {
    const request = {
      seats: wish.seats,
      runtime: wire.number<number>(RuntimeSchema, wish.runtime, "runtime"),
      ...present("ttl", wire.duration(wish.ttl, "ttl")),
      ...present("resources", wish.resources),
    };
    const cost = await this.#caller.unary({ ...wish, repeatable: true }, (ready) =>
      this.#caller.workshops.estimateCost(request, ready),
    );
    const { workers, explanation } = cost;
    const totalMicrousd = Number(cost.totalMicrousd);
    return { totalMicrousd, totalUsd: totalMicrousd / 1e6, workers, explanation };
  }

  /** What these workshops, 1 to 100, have cost so far, by their ids. */
  async costs(
    workshopIds: readonly string[],
    options: CallOptions = {},
  ): Promise<Map<string, WorkshopCost>> {
    const answer = await this.#caller.unary({ ...options, repeatable: true }, (ready) =>
      this.#caller.workshops.getCosts({ workshopIds: [...workshopIds] }, ready),
    );
    const { explanation, priceKnown } = answer;
    return new Map(
      answer.costs.map(({ workshopId, workerTime, totalMicrousd }) => {
        const totalUsd = priceKnown ? Number(totalMicrousd) / 1e6 : undefined;
        const workerMs = Number(workerTime?.seconds ?? 0n) * 1000;
        return [workshopId, { workerMs, totalUsd, explanation }];
      }),
    );
  }
}

/** `{[name]: value}`, or nothing at all when there is no value. */
function present<N extends string, T>(name: N, value: T | undefined): Partial<Record<N, T>> {
  return (value === undefined ? {} : { [name]: value }) as Partial<Record<N, T>>;
}
