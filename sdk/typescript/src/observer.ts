import { Access } from "./access.js";
import type { Caller } from "./call.js";
import type { CallOptions } from "./cancel.js";
import { AttachModeSchema } from "./gen/clarateach/workshop/v1/workshop_pb.js";
import { Terminal, type TerminalOptions } from "./terminal.js";
import type { ObserveMode } from "./types.js";
import { number } from "./wire.js";

/** An instructor's view of one learner's terminals. */
export class Observer {
  readonly #access: Access;
  /** The seat that is looked at. */
  readonly seat: number;
  /** Whether keys may be sent, once the learner consents. */
  readonly mode: ObserveMode;

  private constructor(access: Access, seat: number, mode: ObserveMode) {
    this.#access = access;
    this.seat = seat;
    this.mode = mode;
  }

  /** Used by `Workshop.observeSeat`. */
  static async open(
    caller: Caller,
    place: { workshopId: string; seat: number },
    mode: ObserveMode,
    options: CallOptions,
  ): Promise<Observer> {
    const request = { ...place, mode: number<number>(AttachModeSchema, mode, "mode") };
    const issue = (given: CallOptions) =>
      caller.unary({ ...given, repeatable: true }, (ready) =>
        caller.workshops.observeSeat(request, ready),
      );
    const access = new Access(caller.platform, await issue(options), () => issue({}));
    return new Observer(access, place.seat, mode);
  }

  /** Opens one of the learner's terminals; NotFoundError when the learner has none of that name. */
  async terminal(name = "main", options: TerminalOptions = {}): Promise<Terminal> {
    await this.#access.chooseWay(options.signal);
    return Terminal.open(this.#access, name, options);
  }

  /** Lets go of the token; terminals that are open end with it. */
  close(): void {
    this.#access.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}
