import type { Client, SeatInfo, WorkshopCost, WorkshopInfo } from "@clarateach/sdk";
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { span, useNow } from "../app/time.js";
import { costOf } from "./costs.js";
import { Status } from "./Status.js";
import { told } from "./session.js";

/** How often the list looks again, in milliseconds; each workshop's page hears at once. */
const AGAIN_MS = 5_000;
/** Seats are counted for so many workshops, the newest. */
const COUNTED = 20;
/** Workshops that the server prices at once; the newest. */
const PRICED = 100;

/** All workshops of this instructor. */
export function List({ client }: { client: Client }) {
  const list = useSignal<readonly WorkshopInfo[] | undefined>(undefined);
  const taken = useSignal<ReadonlyMap<string, number>>(new Map());
  const costs = useSignal<ReadonlyMap<string, WorkshopCost>>(new Map());
  const trouble = useSignal("");
  const deleted = useSignal(false);
  const showDeleted = deleted.value;
  useEffect(() => {
    document.title = "Workshops · ClaraTeach";
    let timer: ReturnType<typeof setTimeout> | undefined;
    const over = new AbortController();
    const { signal } = over;
    const look = async () => {
      clearTimeout(timer);
      try {
        if (!document.hidden) {
          const found: WorkshopInfo[] = [];
          for await (const { info } of client.workshops.list({ showDeleted, signal })) {
            found.push(info);
          }
          list.value = found;
          trouble.value = "";
          taken.value = await count(client, found.slice(0, COUNTED), signal);
          costs.value = await priced(client, found.slice(0, PRICED), signal);
        }
      } catch (error) {
        if (signal.aborted) return;
        trouble.value = told(error);
      }
      if (!signal.aborted) timer = setTimeout(look, AGAIN_MS);
    };
    void look();
    const seen = () => void (document.hidden || look());
    document.addEventListener("visibilitychange", seen);
    return () => {
      over.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [client, showDeleted]);
  return (
    <>
      <div class="row wrap heading">
        <h1 class="grow">Workshops</h1>
        <label class="row">
          <input
            type="checkbox"
            checked={showDeleted}
            onChange={(event) => {
              deleted.value = event.currentTarget.checked;
            }}
          />
          Also deleted ones
        </label>
        <a class="button main" href="/console/new">
          New workshop
        </a>
      </div>
      {trouble.value && (
        <p class="callout bad" role="alert">
          {trouble.value}
        </p>
      )}
      {list.value === undefined && !trouble.value && <p class="aside">Asking the server…</p>}
      {list.value?.length === 0 && (
        <p class="empty-state">
          No workshop yet. <a href="/console/new">Make the first one</a>: it is up in seconds.
        </p>
      )}
      {list.value && list.value.length > 0 && (
        <Table list={list.value} taken={taken.value} costs={costs.value} />
      )}
    </>
  );
}

function Table(props: {
  list: readonly WorkshopInfo[];
  taken: ReadonlyMap<string, number>;
  costs: ReadonlyMap<string, WorkshopCost>;
}) {
  const now = useNow(5_000);
  const { list, taken, costs } = props;
  return (
    <div class="scroll">
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Workshop</th>
            <th scope="col">State</th>
            <th scope="col">Seats taken</th>
            <th scope="col">Join code</th>
            <th scope="col">Age</th>
            <th scope="col">Time left</th>
            <th scope="col">Cost so far</th>
          </tr>
        </thead>
        <tbody>
          {list.map((one) => (
            <tr key={one.id}>
              <th scope="row">
                <a href={`/console/${one.id}`}>{one.name}</a>
                {one.reason && one.status !== "running" && <small>{one.reason}</small>}
              </th>
              <td>
                <Status state={one.status} why={one.reason} />
              </td>
              <td>
                {taken.get(one.id) ?? "–"} of {one.seats}
              </td>
              <td>
                <code>{one.code}</code>
              </td>
              <td>{one.createdAt ? span(now - one.createdAt.getTime()) : "–"}</td>
              <td>{timeLeft(one, now)}</td>
              <td title={costs.get(one.id)?.explanation}>{costOf(costs.get(one.id))}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function timeLeft({ expiresAt, status }: WorkshopInfo, now: number): string {
  if (!expiresAt || /^delet/.test(status)) return "–";
  const ms = expiresAt.getTime() - now;
  return ms > 0 ? span(ms) : "over";
}

/** Lists have no seats: each is asked for, one after the other. */
async function count(
  client: Client,
  list: readonly WorkshopInfo[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  for (const { id, status } of list) {
    if (/^delet/.test(status)) continue;
    try {
      const { info } = await client.workshops.get(id, { signal });
      counts.set(id, takenOf(info.seatList));
    } catch (error) {
      signal.throwIfAborted();
      // Deleted since it was listed, for example: it has no number then.
      void error;
    }
  }
  return counts;
}

/** What they have cost; nothing where the server does not say. */
async function priced(
  client: Client,
  list: readonly WorkshopInfo[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, WorkshopCost>> {
  if (list.length === 0) return new Map();
  try {
    const ids = list.map(({ id }) => id);
    return await client.workshops.costs(ids, { signal });
  } catch (error) {
    signal.throwIfAborted();
    // One was purged since it was listed, for example: the next look has them.
    void error;
    return new Map();
  }
}

/** Seats that a learner holds. */
export function takenOf(seats: readonly SeatInfo[]): number {
  return seats.filter(({ taken }) => taken).length;
}
