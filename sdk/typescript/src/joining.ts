// How a learner gets a seat, keeps it, and gets it back.

import type { Grant } from "./access.js";
import type { Caller } from "./call.js";
import type { CallOptions } from "./cancel.js";
import { AuthError, ClarateachError, NotFoundError } from "./errors.js";
import type { JoinWorkshopResponse } from "./gen/clarateach/workshop/v1/workshop_pb.js";
import { requestId } from "./request_id.js";

/** A learner's way in. */
export interface JoinOptions extends CallOptions {
  /** What the learner calls themselves, up to 64 characters. */
  readonly name?: string;
  /** From an earlier join: the same seat again. */
  readonly reconnectCode?: string;
}

/** The same, with the join code. */
export interface Joining extends JoinOptions {
  /** Lower case, spaces, hyphens, O for 0, I and L for 1 are fine. */
  readonly code: string;
}

/** Joins; repeated by itself, it still takes one seat. */
export function join(caller: Caller, joining: Joining): Promise<JoinWorkshopResponse> {
  const { code, name = "", reconnectCode = "" } = joining;
  const id = requestId();
  const request = { code, displayName: name, reconnectCode, requestId: id };
  // A learner has no API token: sending one would only show it around.
  const plan = { ...joining, repeatable: true, requestId: id };
  return caller.unary(plan, (ready) => {
    const { authorization: _, ...headers } = ready.headers;
    return caller.seats.joinWorkshop(request, { ...ready, headers });
  });
}

/** A fresh grant: by the token, or when that is over or void, by the reconnect code. */
export async function renewStay(caller: Caller, stay: Joining, grant: Grant): Promise<Grant> {
  try {
    return await caller.unary({ repeatable: true, token: grant.token }, (ready) =>
      caller.seats.refreshToken({}, ready),
    );
  } catch (error) {
    const over = error instanceof AuthError || error instanceof NotFoundError;
    if (!over || !stay.reconnectCode) throw error;
    const { code, name = "", reconnectCode } = stay;
    return join(caller, { code, name, reconnectCode }).catch((again) => {
      // That the code opens nothing any more says less than why the token does not.
      const unknown = again instanceof ClarateachError && /_UNKNOWN$/.test(again.reason);
      throw unknown ? error : again;
    });
  }
}
