import { Access } from "./access.js";
import type { Caller } from "./call.js";
import type { CallOptions } from "./cancel.js";
import type { Files, FilesOf } from "./files.js";

/** What a learner has made: files that can be read and not changed. */
export class SeatWork<F extends Files = Files> {
  /** The seat whose work it is. */
  readonly seat: number;
  /** The files of its workspace; a change is an AuthError `READ_ONLY`. */
  readonly files: F;
  readonly #access: Access;

  private constructor(access: Access, seat: number, files: FilesOf<F>) {
    this.#access = access;
    this.seat = seat;
    this.files = files(access, (signal) => access.chooseWay(signal));
  }

  /** Used by `Workshop.collectSeat`. */
  static async open<F extends Files>(
    caller: Caller,
    place: { workshopId: string; seat: number },
    files: FilesOf<F>,
    options: CallOptions,
  ): Promise<SeatWork<F>> {
    const issue = (given: CallOptions) =>
      caller.unary({ ...given, repeatable: true }, (ready) =>
        caller.workshops.collectSeat(place, ready),
      );
    const access = new Access(caller.platform, await issue(options), () => issue({}));
    return new SeatWork(access, place.seat, files);
  }

  /** Lets go of the right to read. */
  close(): void {
    this.#access.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}
