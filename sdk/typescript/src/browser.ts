/**
 * ClaraTeach for browsers: grpc-web, and seats straight at workers that have a
 * certificate for browsers, or through the control plane's gateway. Nothing of
 * Node's is in here.
 */

import { parseServer } from "./address.js";
import { BrowserFiles } from "./browser/files.js";
import { browserPlatform } from "./browser/platform.js";
import { BaseClient } from "./client.js";
import type { Seat as AnySeat } from "./seat.js";
import type { SeatWork as AnySeatWork } from "./seat_work.js";
import type { Workshop as AnyWorkshop } from "./workshop.js";

export { BrowserFiles as Files } from "./browser/files.js";
export * from "./common.js";

/** A learner's seat. */
export type Seat = AnySeat<BrowserFiles>;
/** A workshop. */
export type Workshop = AnyWorkshop<BrowserFiles>;
/** What a learner has made, to be kept. */
export type SeatWork = AnySeatWork<BrowserFiles>;

/** Whom to speak to, and as whom. */
export interface ClientOptions {
  /** Where the control plane is; the page's own origin when absent. Plain http only to loopback. */
  readonly url?: string;
  /** An instructor's API token; learners need none. Keep it in memory or sessionStorage. */
  readonly token?: string;
}

/** Speaks to one control plane. */
export class Client extends BaseClient<BrowserFiles> {
  constructor(options: ClientOptions = {}) {
    const url = parseServer(options.url ?? globalThis.location?.origin ?? "");
    super(
      browserPlatform(url),
      url,
      options.token,
      (access, ready) => new BrowserFiles(access, ready),
    );
  }
}
