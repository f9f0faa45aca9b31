import { expect, test } from "vitest";
import { restored } from "../../src/browser/restored.js";

class Page extends EventTarget {
  readonly document: EventTarget & { hidden: boolean } = Object.assign(new EventTarget(), {
    hidden: true,
  });
}

const settled = (promise: Promise<void>): Promise<boolean> =>
  Promise.race([promise.then(() => true), Promise.resolve().then(() => false)]);

test("a page that is back says so: by its network, by its window, by being seen", async () => {
  for (const event of ["online", "focus"]) {
    const page = new Page();
    const told = restored(new AbortController().signal, page);
    expect(await settled(told)).toBe(false);
    page.dispatchEvent(new Event(event));
    await told;
  }
  const page = new Page();
  const told = restored(new AbortController().signal, page);
  page.document.dispatchEvent(new Event("visibilitychange"));
  expect(await settled(told)).toBe(false);
  page.document.hidden = false;
  page.document.dispatchEvent(new Event("visibilitychange"));
  await told;
});

test("the signal ends it, and where there is no page nothing else does", async () => {
  const over = new AbortController();
  const told = restored(over.signal, {});
  expect(await settled(told)).toBe(false);
  over.abort();
  await told;
  await restored(over.signal, {});
});
