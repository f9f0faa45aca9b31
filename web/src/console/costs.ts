import type { WorkshopCost } from "@clarateach/sdk";
import { span } from "../app/time.js";

/** What a workshop has cost so far, in few words. */
export function costOf(cost: WorkshopCost | undefined): string {
  if (!cost) return "–";
  const { totalUsd, workerMs } = cost;
  if (totalUsd === undefined) return `price unknown; ${span(workerMs)} of workers`;
  // Less than a cent is something, and nothing is nothing.
  return totalUsd > 0 && totalUsd < 0.01 ? "under $0.01" : `$${totalUsd.toFixed(2)}`;
}
