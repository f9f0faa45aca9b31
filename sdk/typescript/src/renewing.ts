// A renewal for whoever tries again anyway.

import type { Access } from "./access.js";
import { DeadlineError, UnavailableError } from "./errors.js";

/** Renews token and addresses; that nobody answers now is no failure. Throws refusals, or the signal's reason. */
export async function renewIfAnswered(access: Access, signal: AbortSignal): Promise<void> {
  try {
    await access.renew(signal);
  } catch (error) {
    signal.throwIfAborted();
    // A network that swallows all without a word, or a laptop asleep, ends it by its deadline.
    if (!(error instanceof UnavailableError || error instanceof DeadlineError)) throw error;
  }
}
