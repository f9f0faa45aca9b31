import { span } from "../app/time.js";
import type { SeatView } from "./room.js";
import { Status } from "./Status.js";

/** One seat of the wall: who, how it is, how long nobody typed, and its terminal's last lines. */
export function Tile(props: { view: SeatView; now: number; onOpen(): void }) {
  const { view, now, onOpen } = props;
  const info = view.info.value;
  const lines = view.lines.value;
  const idle = info.lastInputAt && now - info.lastInputAt.getTime();
  return (
    <li class={`tile ${info.taken ? "" : "free"}`} data-seat={info.seat}>
      <button type="button" class="tile-open" onClick={onOpen}>
        <span class="row">
          <strong>{info.seat}</strong>
          <span class="cut grow">{info.taken ? info.learner || "no name" : "free"}</span>
          <Status state={info.state} why={info.reason} />
        </span>
        {lines.length > 0 && <pre class="preview">{lines.join("\n")}</pre>}
        <small class="cut">
          {info.state === "failed" ? info.reason : idleness(info.taken, idle)}
          {info.restarts > 0 && ` · started again ${info.restarts}×`}
        </small>
      </button>
    </li>
  );
}

function idleness(taken: boolean, idle: number | undefined): string {
  if (!taken) return "Nobody has it";
  return idle === undefined ? "Not typed yet" : idle < 5_000 ? "Typing" : `Idle for ${span(idle)}`;
}
