import { useSignal } from "@preact/signals";
import { left, useNow } from "../app/time.js";
import type { Stay } from "../join/stay.js";

/** Before the end, in milliseconds: each is said once and can be put away. */
const BEFORE = [120_000, 600_000];

/** What people should know now: the end that comes, and what the workshop says. */
export function Warnings({ stay }: { stay: Stay }) {
  const now = useNow(1000);
  const away = useSignal<readonly string[]>([]);
  const until = stay.update.value?.expiresAt;
  const remaining = until ? until.getTime() - now : Number.POSITIVE_INFINITY;
  const mark = BEFORE.find((ms) => remaining <= ms);
  const warnings = stay.notices.value
    // The server says so once; below it is said with the time that is left.
    .filter(({ kind }) => kind !== "expiring")
    .map(({ id, message }) => ({ key: `notice:${id}`, text: message }));
  if (mark !== undefined && remaining > 0) {
    const text = `The workshop ends in ${left(remaining)}. Download what you want to keep, or ask your instructor for more time.`;
    // An extended workshop may come to the same mark again.
    warnings.push({ key: `end:${mark}:${until?.getTime()}`, text });
  }
  const open = warnings.filter(({ key }) => !away.value.includes(key));
  return (
    <>
      {open.map(({ key, text }) => (
        <p key={key} class="standing warn" role="status">
          <span class="grow">{text}</span>
          <button
            type="button"
            class="small"
            onClick={() => {
              away.value = [...away.value, key];
            }}
          >
            Got it
          </button>
        </p>
      ))}
    </>
  );
}
