import type { Seat, SeatChange } from "@clarateach/sdk";
import { useState } from "preact/hooks";
import { Plain } from "../app/Plain.js";
import { span, useNow } from "../app/time.js";
import type { Stay } from "./stay.js";
import { WayBack } from "./WayBack.js";

/** The steps to a machine, as a seat passes them. */
const STEPS = ["Workshop", "Your place in line", "Your machine"] as const;

/** What happens until the seat is ready: what is known, and no bar that invents the rest. */
export function WaitingRoom({ stay, seat }: { stay: Stay; seat: Seat }) {
  const [since] = useState(() => Date.now());
  const now = useNow(1000);
  const update = stay.update.value;
  const step = stepOf(update);
  const waited = Math.max(0, now - since);
  return (
    <Plain title="Your seat is being made" busy>
      <p>
        Seat {seat.number} of <strong>{seat.workshopName}</strong> is yours. This page opens by
        itself when its machine answers.
      </p>
      <ol class="steps" aria-label="Progress">
        {STEPS.map((name, at) => (
          <li
            key={name}
            class={at < step ? "done" : at === step ? "now" : ""}
            aria-current={at === step ? "step" : undefined}
          >
            <span class="mark" aria-hidden="true">
              {at < step ? "✓" : at + 1}
            </span>
            <span>
              {name}
              {at === step && <small>{said(update)}</small>}
            </span>
          </li>
        ))}
      </ol>
      <p class="aside" role="timer">
        Waiting for {span(waited)}
      </p>
      <WayBack stay={stay} />
    </Plain>
  );
}

function stepOf(update: SeatChange | undefined): number {
  if (update === undefined || update.workshopStatus === "stopped") return 0;
  if (update.state === "waiting") return update.queuePosition > 0 ? 1 : 0;
  return 2;
}

function said(update: SeatChange | undefined): string {
  if (update === undefined) return "asking the server";
  const { queuePosition: before, reason, state } = update;
  const line =
    before > 0 ? `${before} ${before === 1 ? "seat starts" : "seats start"} before yours` : "";
  const failed = state === "failed" ? "it failed; your instructor sees this" : "";
  return [failed, line, reason].filter((part) => part !== "").join(" · ") || STATES[state] || state;
}

const STATES: Partial<Record<string, string>> = {
  waiting: "waiting for a worker",
  booting: "starting",
  restarting: "starting again",
  stopped: "stopped with the workshop",
  removing: "being made anew",
};
