import { pause, Scope } from "./cancel.js";
import type { Platform } from "./platform.js";

/** Waits before the next attempt, unless something says that it is worth one now. */
export async function rest(platform: Platform, ms: number, signal: AbortSignal): Promise<void> {
  const resting = new Scope({ signal });
  try {
    const woken = platform.restored?.(resting.signal);
    const over = pause(ms, resting.signal);
    await (woken === undefined ? over : Promise.race([over, woken]));
  } finally {
    resting.abort();
    resting.close();
  }
}
