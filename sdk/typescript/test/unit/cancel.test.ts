import { expect, test } from "vitest";
import { pause, Scope, unlessAborted } from "../../src/cancel.js";

test("a scope follows its outer signal until it is closed", () => {
  const outer = new AbortController();
  const [open, closed] = [new Scope({ signal: outer.signal }), new Scope({ signal: outer.signal })];
  closed.close();
  outer.abort("enough");
  expect(open.signal.reason).toBe("enough");
  expect(closed.signal.aborted).toBe(false);
  expect(new Scope({ signal: outer.signal }).signal.reason).toBe("enough");
});

test("time that is over is an error of ours", async () => {
  const scope = new Scope({ timeoutMs: 1 }, "the wait");
  const late = new Promise((_, reject) => {
    scope.signal.addEventListener("abort", () => reject(scope.signal.reason));
  });
  await expect(late).rejects.toMatchObject({ name: "DeadlineError", reason: "DEADLINE" });
});

test("waiting ends with the signal's own reason", async () => {
  const never = new Promise<void>(() => undefined);
  for (const wait of [
    (signal: AbortSignal) => pause(1e6, signal),
    (signal: AbortSignal) => unlessAborted(never, signal),
  ]) {
    const controller = new AbortController();
    const waiting = wait(controller.signal);
    controller.abort("enough");
    await expect(waiting).rejects.toBe("enough");
    await expect(wait(controller.signal)).rejects.toBe("enough");
  }
});
