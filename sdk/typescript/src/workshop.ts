import type { Caller } from "./call.js";
import { type CallOptions, Scope } from "./cancel.js";
import type { Duration } from "./duration.js";
import { WorkshopFailedError } from "./errors.js";
import type { Files, FilesOf } from "./files.js";
import type * as pb from "./gen/clarateach/workshop/v1/workshop_pb.js";
import { Observer } from "./observer.js";
import { requestId } from "./request_id.js";
import { SeatWork } from "./seat_work.js";
import type {
  Egress,
  ObserveMode,
  Preview,
  Runtime,
  SeatInfo,
  WorkerInfo,
  WorkshopChange,
  WorkshopInfo,
  WorkshopStatus,
} from "./types.js";
import { watching } from "./watching.js";
import * as wire from "./wire.js";
import { watchWorkshop } from "./workshop_watch.js";

/** What to change of a workshop; what is left out stays. */
export interface UpdateOptions extends CallOptions {
  /** The new number of seats. Fewer removes free ones, highest first. */
  readonly seats?: number;
  /** Time until it deletes itself, counted from now. */
  readonly ttl?: Duration;
  /** A new name. */
  readonly name?: string;
  /** Let learners lose seats that must go; otherwise ConflictError `SEATS_IN_USE`. */
  readonly evict?: boolean;
  /** What its seats may reach from now on. */
  readonly egress?: Egress;
  /** What learners read. */
  readonly instructions?: string;
}

/** How far a workshop is. */
export interface Progress {
  readonly workshopId: string;
  readonly status: WorkshopStatus;
  /** What is awaited, for people. */
  readonly reason: string;
  /** Seats whose machines answer. */
  readonly seatsReady: number;
  /** Seats wanted. */
  readonly seats: number;
  /** Since the wait began, in milliseconds. */
  readonly elapsedMs: number;
}

/** How to wait for a workshop. */
export interface WaitOptions extends CallOptions {
  /** Told at once and after every change. */
  readonly onProgress?: (progress: Progress) => void;
}

/** States from which no waiting leads to running. */
const OVER: readonly WorkshopStatus[] = ["failed", "stopping", "stopped", "deleting", "deleted"];

/** A workshop. `info` is as it was last seen here: by the call that gave it, `refresh`, or a wait. */
export class Workshop<F extends Files = Files> {
  readonly #caller: Caller;
  readonly #files: FilesOf<F>;
  #info: WorkshopInfo;

  constructor(caller: Caller, info: WorkshopInfo, files: FilesOf<F>) {
    this.#caller = caller;
    this.#info = info;
    this.#files = files;
  }

  /** All of it. */
  get info(): WorkshopInfo {
    return this.#info;
  }

  /** `ws-` and ten of [a-z0-9]. */
  get id(): string {
    return this.#info.id;
  }

  /** What people call it. */
  get name(): string {
    return this.#info.name;
  }

  /** The join code, for learners. */
  get code(): string {
    return this.#info.code;
  }

  /** Where it is in its life. */
  get status(): WorkshopStatus {
    return this.#info.status;
  }

  /** Why it is there and what happens next, for people. */
  get reason(): string {
    return this.#info.reason;
  }

  /** How many seats are wanted. */
  get seats(): number {
    return this.#info.seats;
  }

  /** What gives its seats their machines. */
  get runtime(): Runtime {
    return this.#info.runtime;
  }

  /** When its time is over and it deletes itself. */
  get expiresAt(): Date | undefined {
    return this.#info.expiresAt;
  }

  /** Its workers. */
  get workers(): readonly WorkerInfo[] {
    return this.#info.workers;
  }

  /** Its seats by number; empty when it comes from a list. */
  get seatList(): readonly SeatInfo[] {
    return this.#info.seatList;
  }

  /** Asks how it is now. */
  async refresh(options: CallOptions = {}): Promise<this> {
    return this.#take(options, (ready) =>
      this.#caller.workshops.getWorkshop({ id: this.id }, ready),
    );
  }

  /**
   * Waits until every seat answers.
   * @throws WorkshopFailedError at once when waiting cannot help.
   */
  async waitRunning(options: WaitOptions = {}): Promise<this> {
    return this.#wait(options, "running", OVER);
  }

  /**
   * Waits until its machines are stopped.
   * @throws WorkshopFailedError at once when waiting cannot help.
   */
  async waitStopped(options: WaitOptions = {}): Promise<this> {
    return this.#wait(options, "stopped", ["failed", "deleting", "deleted"]);
  }

  /** Waits until nothing of it runs or is billed. */
  async waitDeleted(options: WaitOptions = {}): Promise<this> {
    return this.#wait(options, "deleted", []);
  }

  /** The whole workshop at once and after every change, until it is deleted. Breaks are mended. */
  watch(
    options: Pick<CallOptions, "signal"> = {},
  ): AsyncGenerator<WorkshopChange, void, undefined> {
    return watchWorkshop(this.#caller, this.id, options.signal);
  }

  /** Changes it. */
  async update(change: UpdateOptions): Promise<this> {
    const { seats, name, instructions, evict = false, egress } = change;
    const ttl = wire.duration(change.ttl, "ttl");
    const request = {
      id: this.id,
      evict,
      requestId: requestId(),
      ...(seats === undefined ? {} : { seats }),
      ...(name === undefined ? {} : { name }),
      ...(instructions === undefined ? {} : { instructions }),
      ...(ttl === undefined ? {} : { ttl }),
      ...(egress === undefined ? {} : { egress: wire.egressOf(egress) }),
    };
    return this.#take(change, (ready) => this.#caller.workshops.updateWorkshop(request, ready));
  }

  /** Ends shells and machines; keeps seats, learners and their files. */
  async stop(options: CallOptions = {}): Promise<this> {
    const request = { id: this.id, requestId: requestId() };
    return this.#take(options, (ready) => this.#caller.workshops.stopWorkshop(request, ready));
  }

  /** Brings a stopped workshop back; `waitRunning` comes next. */
  async start(options: CallOptions = {}): Promise<this> {
    const request = { id: this.id, requestId: requestId() };
    return this.#take(options, (ready) => this.#caller.workshops.startWorkshop(request, ready));
  }

  /** Ends it for good. Asked twice, nothing changes. */
  async delete(options: CallOptions = {}): Promise<this> {
    const request = { id: this.id, requestId: requestId() };
    return this.#take(options, (ready) => this.#caller.workshops.deleteWorkshop(request, ready));
  }

  /** Its seats, by number. */
  async listSeats(options: CallOptions = {}): Promise<SeatInfo[]> {
    const answer = await this.#caller.unary({ ...options, repeatable: true }, (ready) =>
      this.#caller.workshops.listSeats({ workshopId: this.id }, ready),
    );
    return answer.seats.map(wire.seat);
  }

  /** Same learner, fresh machine: files and shells are gone. */
  async resetSeat(seat: number, options: CallOptions = {}): Promise<SeatInfo> {
    const request = { workshopId: this.id, seat, requestId: requestId() };
    const answer = await this.#caller.unary({ ...options, repeatable: true }, (ready) =>
      this.#caller.workshops.resetSeat(request, ready),
    );
    return wire.seat(answer);
  }

  /** Takes a seat from its learner; free again once its machine is fresh. */
  async revokeSeat(seat: number, options: CallOptions = {}): Promise<SeatInfo> {
    const request = { workshopId: this.id, seat, requestId: requestId() };
    const answer = await this.#caller.unary({ ...options, repeatable: true }, (ready) =>
      this.#caller.workshops.revokeSeat(request, ready),
    );
    return wire.seat(answer);
  }

  /** A way to look at a learner's terminal, or to help in it. The learner sees who watches. */
  async observeSeat(seat: number, mode: ObserveMode, options: CallOptions = {}): Promise<Observer> {
    return Observer.open(this.#caller, { workshopId: this.id, seat }, mode, options);
  }

  /** A way to read what a learner has made, and to change nothing of it. An event tells who asked. */
  async collectSeat(seat: number, options: CallOptions = {}): Promise<SeatWork<F>> {
    return SeatWork.open(this.#caller, { workshopId: this.id, seat }, this.#files, options);
  }

  /** Small pictures of every seat's screen, as they change. */
  watchPreviews(
    options: Pick<CallOptions, "signal"> = {},
  ): AsyncGenerator<Preview, void, undefined> {
    const caller = this.#caller;
    const request = { workshopId: this.id };
    return watching(
      {
        caller,
        open: (_since, signal) =>
          caller.workshops.watchPreviews(request, { signal, headers: caller.headers() }),
        read: ({ seat, lines, changedAt, terminals }) => {
          const value = { seat, lines, changedAt: wire.date(changedAt), terminals };
          return { revision: 0n, value, last: false };
        },
      },
      options.signal,
    );
  }

  /** The end of what a seat's machine logged, at most 64 KiB. */
  async seatLog(seat: number, options: CallOptions = {}): Promise<string> {
    const answer = await this.#caller.unary({ ...options, repeatable: true }, (ready) =>
      this.#caller.workshops.getSeatLog({ workshopId: this.id, seat }, ready),
    );
    return answer.log;
  }

  /** Makes a call that a repeat does not harm, and keeps what it says. */
  async #take(
    options: CallOptions,
    call: (ready: { signal: AbortSignal; headers: Record<string, string> }) => Promise<pb.Workshop>,
  ): Promise<this> {
    this.#info = wire.workshop(await this.#caller.unary({ ...options, repeatable: true }, call));
    return this;
  }

  /** Watches until it is as wanted; one of `never` ends all waiting. */
  async #wait(
    options: WaitOptions,
    wanted: WorkshopStatus,
    never: readonly WorkshopStatus[],
  ): Promise<this> {
    const began = performance.now();
    const scope = new Scope(options, `the wait for workshop ${this.id} to be ${wanted}`);
    try {
      for await (const { workshop } of this.watch({ signal: scope.signal })) {
        if (workshop === undefined) continue;
        this.#info = workshop;
        const { id: workshopId, status, reason, seats, seatsReady } = workshop;
        const elapsedMs = performance.now() - began;
        options.onProgress?.({ workshopId, status, reason, seatsReady, seats, elapsedMs });
        if (status === wanted) return this;
        if (never.includes(status)) break;
      }
    } finally {
      scope.close();
    }
    if (this.status === wanted) return this;
    throw new WorkshopFailedError(`workshop ${this.id}`, this.status, this.reason, this.#info);
  }
}
