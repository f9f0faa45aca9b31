import { InvalidError } from "./errors.js";

/** A length of time: a number of milliseconds, or words such as `"4h"`, `"90m"`, `"30s"`, `"2d"`. */
export type Duration = number | `${number}${"ms" | "s" | "m" | "h" | "d"}`;

const UNITS: Record<string, number> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Milliseconds of `duration`; `field` names it in the error for what is none. */
export function milliseconds(duration: Duration, field: string): number {
  if (typeof duration === "number" && Number.isFinite(duration) && duration >= 0) return duration;
  const words = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(String(duration));
  const unit = UNITS[words?.[2] ?? ""];
  if (typeof duration === "string" && unit !== undefined) return Number(words?.[1]) * unit;
  throw invalid(field, 'must be milliseconds, or words such as "4h" or "90m"');
}

/** The error for one field that cannot be right; the reason is the server's for such, unless said. */
export function invalid(field: string, description: string, reason = "INVALID"): InvalidError {
  return new InvalidError(`${field} ${description}`, {
    reason,
    fields: [{ field, description }],
  });
}
