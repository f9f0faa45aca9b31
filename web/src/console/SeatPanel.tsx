import type { ObserveMode } from "@clarateach/sdk";
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { sure } from "../ui/ask.js";
import { lately } from "../ui/Lazy.js";
import type { Room, SeatView } from "./room.js";
import { Status } from "./Status.js";
import { told } from "./session.js";

// The terminal's drawing is large: fetched by whoever looks.
const Look = lately(() => import("./Look.js").then(({ Look }) => Look));

/** One seat: how it stands, its machine's log, and what can be done. */
export function SeatPanel(props: { room: Room; view: SeatView; onClose(): void }) {
  const { room, view, onClose } = props;
  const dialog = useRef<HTMLDialogElement>(null);
  const log = useSignal<string | undefined>(undefined);
  useEffect(() => dialog.current?.showModal(), []);
  const looking = useSignal<ObserveMode | undefined>(undefined);
  const info = view.info.value;
  const who = info.learner || (info.taken ? "a learner without a name" : "nobody");
  const reset = async () => {
    const body = `Files and shells of seat ${info.seat} are gone; ${who} keeps it and gets a fresh machine.`;
    if (await sure(`Reset seat ${info.seat}?`, body, "Reset")) {
      await room.act((workshop) => workshop.resetSeat(info.seat));
    }
  };
  const revoke = async () => {
    const body = `${who} loses the seat and its files. It is free once its machine is fresh.`;
    if (await sure(`Take seat ${info.seat} back?`, body, "Take it back")) {
      await room.act((workshop) => workshop.revokeSeat(info.seat));
    }
  };
  const read = () =>
    room.act(async (workshop) => {
      log.value = await workshop.seatLog(info.seat).catch((error) => told(error));
    });
  return (
    <dialog ref={dialog} class="wide" aria-labelledby="seat-title" onClose={onClose}>
      <div class="stack">
        <div class="row">
          <h2 id="seat-title" class="grow cut">
            Seat {info.seat}: {who}
          </h2>
          <Status state={info.state} why={info.reason} />
        </div>
        {info.reason && <p>{info.reason}</p>}
        <dl class="facts">
          <dt>Joined</dt>
          <dd>{info.joinedAt?.toLocaleTimeString() ?? "–"}</dd>
          <dt>Last typed</dt>
          <dd>{info.lastInputAt?.toLocaleTimeString() ?? "–"}</dd>
          <dt>Terminals open</dt>
          <dd>{info.terminals}</dd>
          <dt>Started again</dt>
          <dd>{info.restarts} times</dd>
          <dt>Worker</dt>
          <dd>{info.worker || "–"}</dd>
        </dl>
        {log.value !== undefined && (
          // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keys
          <pre class="log" tabIndex={0}>
            {log.value || "Its machine logged nothing."}
          </pre>
        )}
        <div class="actions">
          {info.taken && looking.value !== "observe" && (
            <button
              type="button"
              onClick={() => {
                looking.value = "observe";
              }}
            >
              Look at the terminal
            </button>
          )}
          {info.taken && looking.value !== "assist" && (
            <button
              type="button"
              onClick={() => {
                looking.value = "assist";
              }}
            >
              Help in it
            </button>
          )}
          <button type="button" onClick={() => void read()}>
            {log.value === undefined ? "Read its log" : "Read again"}
          </button>
          <button type="button" class="danger" onClick={() => void reset()}>
            Reset
          </button>
          <button type="button" class="danger" disabled={!info.taken} onClick={() => void revoke()}>
            Take it back
          </button>
          <button type="button" onClick={() => dialog.current?.close()}>
            Close
          </button>
        </div>
        {looking.value && info.taken && (
          <Look key={looking.value} room={room} view={view} mode={looking.value} />
        )}
      </div>
    </dialog>
  );
}
