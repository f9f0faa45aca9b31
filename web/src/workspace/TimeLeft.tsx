import { left, useNow } from "../app/time.js";

const MINUTE = 60_000;
/** Made once, ahead: the first one costs a browser a whole frame. */
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

/** What is left of the workshop; louder in its last ten minutes. */
export function TimeLeft({ until }: { until: Date | undefined }) {
  const now = useNow(1000);
  if (!until) return null;
  const ms = until.getTime() - now;
  const kind = ms < 2 * MINUTE ? "bad" : ms < 10 * MINUTE ? "warn" : "";
  return (
    <span class={`chip ${kind}`} role="timer" title={`Ends ${CLOCK.format(until)}`}>
      {ms > 0 ? `${left(ms)} left` : "Time is over"}
    </span>
  );
}
