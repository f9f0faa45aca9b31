// One shell on two devices: who types last chooses its size, and the other follows.

import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  comeBack,
  House,
  join,
  missing,
  noted,
  screen,
  shows,
  type,
  wayBack,
} from "./support/house.js";

const SMALL = { width: 1280, height: 420 };
const LARGE = { width: 1280, height: 720 };

describe.skipIf(missing !== "")("one shell on two devices", () => {
  const house = new House();
  let page: Page;
  let other: Page;

  beforeAll(async () => {
    await house.open();
    const { code } = await house.workshop({ name: "Two devices" });
    page = await (await house.person()).newPage();
    await join(page, code, "Grace");
    const reconnect = await wayBack(page);
    await noted(page);
    await type(page, "X=kept\r");
    other = await (await house.person()).newPage();
    await comeBack(other, code, reconnect);
  });
  afterAll(async () => {
    expect(house.complaints()).toEqual([]);
    await house.close();
  });

  test("what came while a terminal was behind another is at its end when it is in front", async () => {
    await type(other, "echo $X-there\r");
    await shows(other, "kept-there");
    await page.getByRole("button", { name: "New terminal" }).click();
    await type(page, "echo in''-front\r");
    await shows(page, "in-front");
    for (let round = 0; round < 8; round += 1) {
      await other.setViewportSize(round % 2 === 0 ? SMALL : LARGE);
      // About when the shell hears of it: the flood and the new size come together.
      await other.waitForTimeout(60 + 10 * round);
      await type(other, `clear; seq -f line-%g 200; echo round-$X-${round}\r`);
      await shows(other, `round-kept-${round}`);
      await page.getByRole("tab", { name: "Terminal 1" }).click();
      await shows(page, `round-kept-${round}`);
      await page.getByRole("tab", { name: "Terminal 2" }).click();
    }
    await page.getByRole("tab", { name: "Terminal 1" }).click();
  });

  test("who has scrolled back stays there, whatever size the other device takes", async () => {
    await page.locator(".pane:not([hidden]) .xterm-screen").hover();
    await page.mouse.wheel(0, -2_000);
    await expect.poll(() => screen(page)).not.toContain("round-kept-7");
    await other.setViewportSize(SMALL);
    await type(other, "echo small''er\r");
    await shows(other, "smaller");
    await page.waitForTimeout(1_500);
    expect(await screen(page)).not.toContain("smaller");
    // A key leads back.
    await type(page, "\r");
    await shows(page, "smaller");
  });
});
