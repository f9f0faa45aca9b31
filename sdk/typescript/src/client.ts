import { parseToken } from "./address.js";
import { Caller } from "./call.js";
import type { Files, FilesOf } from "./files.js";
import type { JoinOptions } from "./joining.js";
import type { Platform } from "./platform.js";
import { Seat } from "./seat.js";
import { Tokens } from "./tokens.js";
import { Workshops } from "./workshops.js";

/** What every client does, wherever it runs. */
export class BaseClient<F extends Files> {
  /** Workshops, for instructors. */
  readonly workshops: Workshops<F>;
  /** API tokens, for instructors and admins. */
  readonly tokens: Tokens;
  /** Where the control plane is. */
  readonly url: string;
  readonly #caller: Caller;
  readonly #files: FilesOf<F>;

  constructor(platform: Platform, url: string, token: string | undefined, files: FilesOf<F>) {
    this.url = url;
    this.#caller = new Caller(platform, url, token === undefined ? undefined : parseToken(token));
    this.#files = files;
    this.workshops = new Workshops(this.#caller, files);
    this.tokens = new Tokens(this.#caller);
  }

  /** Takes a seat, or with a reconnect code the learner's own again. Needs no API token. */
  async join(code: string, options: JoinOptions = {}): Promise<Seat<F>> {
    return Seat.join(this.#caller, { ...options, code }, this.#files);
  }

  /** Lets go of idle connections; seats and terminals are closed by themselves. */
  close(): void {
    this.#caller.platform.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}
