import type { Caller } from "./call.js";
import type { WorkshopChange } from "./types.js";
import { watching } from "./watching.js";
import * as wire from "./wire.js";

/** The whole workshop at once and after every change, until it is deleted. */
export function watchWorkshop(
  caller: Caller,
  id: string,
  outer?: AbortSignal,
): AsyncGenerator<WorkshopChange, void, undefined> {
  return watching(
    {
      caller,
      open: (sinceRevision, signal) =>
        caller.workshops.watchWorkshop(
          { id, sinceRevision },
          { signal, headers: caller.headers() },
        ),
      read: (message) => {
        const workshop = message.workshop && wire.workshop(message.workshop);
        const value = { workshop, notices: message.notices.map(wire.notice) };
        return { revision: message.revision, value, last: workshop?.status === "deleted" };
      },
    },
    outer,
  );
}
