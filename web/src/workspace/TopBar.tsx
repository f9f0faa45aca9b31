import type { Seat } from "@clarateach/sdk";
import { ThemeChoice } from "../app/ThemeChoice.js";
import type { Stay } from "../join/stay.js";
import { FullScreen } from "./FullScreen.js";
import { TimeLeft } from "./TimeLeft.js";

/** Where one is, how it stands, and how long it lasts. */
export function TopBar({ stay, seat }: { stay: Stay; seat: Seat }) {
  const update = stay.update.value;
  const state = update?.state ?? "ready";
  return (
    <header class="topbar">
      <span class="brand">ClaraTeach</span>
      <h1 class="cut" title={seat.workshopName}>
        {seat.workshopName}
      </h1>
      <span class="chip" title="Your seat">
        Seat {seat.number}
      </span>
      {state !== "ready" && (
        <span class="chip warn" role="status" title={update?.reason}>
          {STATES[state] ?? state}
        </span>
      )}
      <span class="grow" />
      <TimeLeft until={update?.expiresAt} />
      <FullScreen />
      <ThemeChoice />
    </header>
  );
}

const STATES: Partial<Record<string, string>> = {
  waiting: "Machine is waiting",
  booting: "Machine is starting",
  restarting: "Machine starts again",
  failed: "Machine failed: your instructor sees this",
  stopped: "Workshop is stopped",
  removing: "Seat is being reset",
};
