import { Access, type Grant } from "./access.js";
import type { Caller } from "./call.js";
import { type CallOptions, Scope } from "./cancel.js";
import { Command, type CommandOptions, type CommandResult, type RunOptions } from "./command.js";
import { AuthError, WorkshopFailedError } from "./errors.js";
import type { Files, FilesOf } from "./files.js";
import { SeatStateSchema } from "./gen/clarateach/workshop/v1/workshop_pb.js";
import { type Joining, join, renewStay } from "./joining.js";
import { renewIfAnswered } from "./renewing.js";
import { Terminal, type TerminalOptions } from "./terminal.js";
import type { SeatChange, SeatState } from "./types.js";
import { watching } from "./watching.js";
import { seatChange, word } from "./wire.js";

/** How to wait for a seat. */
export interface SeatWaitOptions extends CallOptions {
  /** Told at once and after every change. */
  readonly onProgress?: (update: SeatChange) => void;
}

/**
 * A learner's seat. Its token renews itself, and a seat that was reset is
 * joined again, for as long as this object is open. `F` is what files can do
 * on this platform.
 */
export class Seat<F extends Files = Files> {
  /** The seat's number, from 1. */
  readonly number: number;
  /** The workshop it belongs to. */
  readonly workshopId: string;
  /** The workshop's name. */
  readonly workshopName: string;
  /** What learners read beside their terminal, Markdown. */
  readonly instructions: string;
  /** The learner's files: all below the workspace, where shells start too. */
  readonly files: F;
  readonly #caller: Caller;
  readonly #access: Access;
  readonly #reconnectCode: string;
  #state: SeatState;

  private constructor(
    caller: Caller,
    joined: Awaited<ReturnType<typeof join>>,
    access: Access,
    files: FilesOf<F>,
  ) {
    this.number = joined.seat;
    this.workshopId = joined.workshopId;
    this.workshopName = joined.workshopName;
    this.instructions = joined.instructions;
    this.#caller = caller;
    this.#access = access;
    this.#reconnectCode = joined.reconnectCode;
    this.#state = word(SeatStateSchema, joined.seatState);
    this.files = files(access, (signal) => this.#ready(signal));
  }

  /** Used by `Client.join`. */
  static async join<F extends Files>(
    caller: Caller,
    joining: Joining,
    files: FilesOf<F>,
  ): Promise<Seat<F>> {
    const joined = await join(caller, joining);
    const stay = { ...joining, reconnectCode: joined.reconnectCode };
    const issue = (grant: Grant): Promise<Grant> => renewStay(caller, stay, grant);
    return new Seat(caller, joined, new Access(caller.platform, joined, issue), files);
  }

  /** Where the seat's machine was when last heard of: at the join, in a wait or in a watch. */
  get state(): SeatState {
    return this.#state;
  }

  /** Brings the learner back to this seat: keep it like a password. */
  get reconnectCode(): string {
    return this.#reconnectCode;
  }

  /**
   * Waits until terminal and files answer. `run`, `terminal` and `files` do so
   * by themselves; this one tells how it goes.
   * @throws WorkshopFailedError at once when waiting cannot help.
   */
  async waitReady(options: SeatWaitOptions = {}): Promise<this> {
    const scope = new Scope(options, `the wait for seat ${this.number}`);
    try {
      for await (const update of this.watch({ signal: scope.signal })) {
        options.onProgress?.(update);
        if (update.state === "ready") return this;
        const { state, workshopStatus, reason } = update;
        if (state === "failed") throw new WorkshopFailedError(`seat ${this.number}`, state, reason);
        if (/^(failed|stopped|deleting|deleted)$/.test(workshopStatus)) {
          throw new WorkshopFailedError(`workshop ${this.workshopId}`, workshopStatus, reason);
        }
      }
    } finally {
      scope.close();
    }
    throw new WorkshopFailedError(`workshop ${this.workshopId}`, "deleted", "its time was over");
  }

  /** The seat at once, then after every change and with every notice; ends with the workshop. */
  watch(options: Pick<CallOptions, "signal"> = {}): AsyncGenerator<SeatChange, void, undefined> {
    const access = this.#access;
    let used = access.token;
    return watching(
      {
        caller: this.#caller,
        open: (sinceRevision, signal) => {
          used = access.token;
          const headers = this.#caller.headers(used);
          return this.#caller.seats.watchSeat({ sinceRevision }, { signal, headers });
        },
        read: (message) => {
          const value = seatChange(message);
          this.#state = value.state;
          access.moved(message);
          return { revision: message.revision, value, last: value.workshopStatus === "deleted" };
        },
        // A watch ends with the token that opened it.
        cure: async (error, signal) => {
          if (!(error instanceof AuthError)) return false;
          if (used === access.token) await renewIfAnswered(access, signal);
          return true;
        },
      },
      options.signal,
    );
  }

  /**
   * Runs a line of shell, or a program with its arguments, and waits for its
   * end. Another exit code than 0 is a result, unless `check` is set.
   */
  async run(command: string | readonly string[], options: RunOptions = {}): Promise<CommandResult> {
    const running = await this.start(command, options);
    return running.result(options);
  }

  /** Starts a command; iterate what comes back for its output, or `wait()` for its end. */
  async start(command: string | readonly string[], options: CommandOptions = {}): Promise<Command> {
    await this.#ready(options.signal);
    return Command.start(this.#access, command, options);
  }

  /**
   * Opens a terminal: a shell that outlives every connection. Names are 1 to 32
   * of [a-z0-9-]; a seat has at most eight.
   */
  async terminal(name = "main", options: TerminalOptions = {}): Promise<Terminal> {
    await this.#ready(options.signal);
    return Terminal.open(this.#access, name, options);
  }

  /** Renews the seat's token now; it does so by itself in time. */
  async refresh(options: Pick<CallOptions, "signal"> = {}): Promise<void> {
    await this.#access.renew(options.signal);
  }

  /** Lets go of the seat's token; the machine and its shells live on. */
  close(): void {
    this.#access.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  /** Once it was ready, a request itself tells when it is not. */
  async #ready(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (this.#state !== "ready") await this.waitReady({ signal });
    await this.#access.chooseWay(signal);
  }
}
