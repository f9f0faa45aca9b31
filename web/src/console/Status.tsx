const GOOD = /^(running|ready)$/;
const WAITING = /^(provisioning|waiting|booting|restarting|stopping|deleting|removing|creating)$/;
const BAD = /^(failed|degraded|unreachable)$/;

/** A state as a word in its colour; the word alone says it, too. */
export function Status({ state, why }: { state: string; why?: string }) {
  const kind = GOOD.test(state)
    ? "ok"
    : WAITING.test(state)
      ? "warn"
      : BAD.test(state)
        ? "bad"
        : "";
  return (
    <span class={`chip ${kind}`} title={why || undefined}>
      {state}
    </span>
  );
}
