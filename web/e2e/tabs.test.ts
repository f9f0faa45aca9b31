// Many windows of one browser: over HTTP/1.1 it has six connections for all of them.

import type { BrowserContext, Page, Request } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { House, join, missing, shows, type } from "./support/house.js";

/** The calls of one kind that are open now, in all pages of a browser. */
function open(person: BrowserContext, call: string): Set<Request> {
  const now = new Set<Request>();
  person.on("request", (request) => {
    if (request.url().endsWith(`/${call}`)) now.add(request);
  });
  for (const end of ["requestfinished", "requestfailed"] as const) {
    person.on(end as "requestfinished", (request) => now.delete(request));
  }
  person.on("page", (page) => {
    page.on("close", () => {
      for (const one of now) if (one.frame().page() === page) now.delete(one);
    });
  });
  return now;
}

describe.skipIf(missing !== "")("seven windows of one browser", () => {
  const house = new House();
  beforeAll(() => house.open());
  afterAll(async () => {
    expect(house.complaints()).toEqual([]);
    await house.close();
  });

  test("of one seat share its news: all are live and hear it, also when the first is closed", async () => {
    const workshop = await house.workshop({ name: "Tabs" });
    const person = await house.person();
    const watches = open(person, "WatchSeat");
    const pages: Page[] = [await person.newPage()];
    await join(pages[0] as Page, workshop.code, "Ada");
    for (let n = 1; n < 7; n += 1) {
      const page = await person.newPage();
      pages.push(page);
      await page.goto(`/j/${workshop.code}`);
      await type(page, `echo win''dow-${n}\r`);
      await shows(page, `window-${n}`);
    }
    await expect.poll(() => watches.size).toBe(1);
    await workshop.update({ ttl: "9m" });
    for (const page of pages) await page.getByText(/The workshop ends in [89]:/).waitFor();

    const [first] = watches;
    const leader = first?.frame().page() as Page;
    await leader.close();
    const rest = pages.filter((page) => page !== leader);
    await expect.poll(() => watches.size).toBe(1);
    await workshop.update({ ttl: "119s" });
    for (const page of rest) await page.getByText(/The workshop ends in [01]:/).waitFor();
    await type(rest[0] as Page, "clear; echo go''es-on\r");
    for (const page of rest) await shows(page, "goes-on");
    await person.close();
  });

  test("of one class share its wall", async () => {
    const workshop = await house.workshop({ name: "Walls" });
    await workshop.waitRunning();
    const seat = await house.client.join(workshop.code, { name: "Ada" });
    const shell = await seat.terminal();
    await shell.write("echo on-the-w''all\r");
    const person = await house.person();
    const watches = open(person, "WatchWorkshop");
    const previews = open(person, "WatchPreviews");
    const pages: Page[] = [];
    for (let n = 0; n < 7; n += 1) {
      const page = await person.newPage();
      pages.push(page);
      await house.signIn(page);
      await page.goto(`/console/${workshop.id}`);
      await page.locator('[data-seat="1"]').getByText("on-the-wall").waitFor();
    }
    await expect.poll(() => [watches.size, previews.size]).toEqual([1, 1]);
    await shell.write("clear; echo all-s''ee-it\r");
    for (const page of pages) await page.locator(".preview", { hasText: "all-see-it" }).waitFor();
    await shell.close();
    seat.close();
    await person.close();
  });
});
