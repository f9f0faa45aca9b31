/**
 * ClaraTeach for Node 20.18.1 and newer: gRPC, and seats straight at their worker
 * under the workshop's own CA.
 */

import { readFileSync } from "node:fs";
import { parseServer } from "./address.js";
import { BaseClient } from "./client.js";
import { invalid } from "./duration.js";
import { LocalFileError } from "./errors.js";
import { NodeFiles } from "./node/files.js";
import { nodePlatform } from "./node/platform.js";
import type { Route } from "./platform.js";
import type { Seat as AnySeat } from "./seat.js";
import type { SeatWork as AnySeatWork } from "./seat_work.js";
import type { Workshop as AnyWorkshop } from "./workshop.js";

export * from "./common.js";
export { NodeFiles as Files } from "./node/files.js";
export type { Route } from "./platform.js";

/** A learner's seat. */
export type Seat = AnySeat<NodeFiles>;
/** A workshop. */
export type Workshop = AnyWorkshop<NodeFiles>;
/** What a learner has made, to be kept. */
export type SeatWork = AnySeatWork<NodeFiles>;

/** Whom to speak to, and as whom. */
export interface ClientOptions {
  /** Where the control plane is. Plain http only to loopback. */
  readonly url: string;
  /** An instructor's API token; learners need none. */
  readonly token?: string;
  /** The CA of the control plane's certificate, PEM; the system's own when absent. */
  readonly ca?: string;
  /**
   * The way to seats: `direct` to the worker under the workshop's own CA,
   * through the control plane's `gateway`, or (the default) `auto`: direct
   * where the worker can be reached.
   */
  readonly route?: Route;
}

/** Speaks to one control plane. */
export class Client extends BaseClient<NodeFiles> {
  constructor(options: ClientOptions) {
    const url = parseServer(options.url);
    super(
      nodePlatform(url, options.ca, options.route ?? "auto"),
      url,
      options.token,
      (access, ready) => new NodeFiles(access, ready),
    );
  }

  /**
   * By `CLARATEACH_URL`, `CLARATEACH_TOKEN_FILE` and `CLARATEACH_CA_FILE`, as the command line.
   * @throws InvalidError when the first is not set, LocalFileError for a file.
   */
  static fromEnvironment(): Client {
    const {
      CLARATEACH_URL: url,
      CLARATEACH_TOKEN_FILE: token,
      CLARATEACH_CA_FILE: ca,
    } = process.env;
    if (!url) throw invalid("CLARATEACH_URL", "must say where the server is", "URL");
    return new Client({
      url,
      ...(token && { token: text(token).trim() }),
      ...(ca && { ca: text(ca) }),
    });
  }
}

function text(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new LocalFileError(`${file} cannot be read`, { reason: "LOCAL_FILE", cause });
  }
}
