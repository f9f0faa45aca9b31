import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["e2e/**/*.test.ts"],
    // Machines boot, and a shared box is slow: a bound, not an expectation.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // One second by itself: a bound as the others are.
    expect: { poll: { timeout: 20_000, interval: 100 } },
    // Stories share one server and few cores.
    fileParallelism: false,
  },
});
