import { expect, test } from "vitest";
import { milliseconds } from "../../src/duration.js";

test("a length of time is a number or words", () => {
  const good = [
    [1500, 1500],
    ["250ms", 250],
    ["30s", 30_000],
    ["1.5m", 90_000],
    ["4h", 14_400_000],
    ["2d", 172_800_000],
  ] as const;
  for (const [given, ms] of good) expect(milliseconds(given, "ttl")).toBe(ms);
  for (const bad of [-1, Number.NaN, Number.POSITIVE_INFINITY, "4", "h", "4 h", "4w", "-4h"]) {
    expect(() => milliseconds(bad as never, "ttl")).toThrow(
      expect.objectContaining({
        reason: "INVALID",
        fields: [expect.objectContaining({ field: "ttl" })],
      }),
    );
  }
});
