import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { House, join, missing, picture, screen, shows, type } from "./support/house.js";

describe.skipIf(missing !== "")("a terminal under hands", () => {
  const house = new House();
  let page: Page;

  beforeAll(async () => {
    await house.open();
    const { code } = await house.workshop({ name: "Typing" });
    const permissions = ["clipboard-read", "clipboard-write"];
    page = await (await house.person({ permissions })).newPage();
    await join(page, code, "Ada");
  });
  afterAll(async () => {
    expect(house.complaints()).toEqual([]);
    await house.close();
  });

  test("Ctrl-C is heard in a flood", async () => {
    await type(page, "yes 0123456789012345678901234567890123456789\r");
    await shows(page, "0123456789012345678901234567890123456789");
    await page.keyboard.press("Control+C");
    await type(page, "clear; echo qu''iet\r");
    await shows(page, "quiet");
  });

  test("a selection is copied by Ctrl-C, which interrupts without one", async () => {
    await type(page, "clear; echo copy''this\r");
    await shows(page, /^copythis/m);
    // The screen itself lies over its rows, and takes the clicks.
    const row = page.locator(".xterm-rows > div", { hasText: /^copythis/ });
    await row.dblclick({ position: { x: 20, y: 5 }, force: true });
    await page.keyboard.press("Control+C");
    await expect.poll(() => page.evaluate(() => navigator.clipboard.readText())).toBe("copythis");
    await type(page, "sleep 1000\r");
    await page.keyboard.press("Control+C");
    await type(page, "echo interr''upted\r");
    await shows(page, "interrupted");
  });

  test("several lines are pasted at once only when it was asked, or the shell knows", async () => {
    const paste = async (text: string) => {
      await page.evaluate((it) => navigator.clipboard.writeText(it), text);
      await page.keyboard.press("Control+V");
    };
    await type(page, "clear; cat\r");
    await expect.poll(() => screen(page)).toMatch(/^\s*$/);
    await paste("one line");
    await shows(page, "one line");
    await paste("first\nsecond\n");
    await page.getByText("Paste 2 lines?").waitFor();
    await picture(page, "workspace-paste");
    await page.getByRole("button", { name: "Paste" }).click();
    await shows(page, /second\s+.*second/s);
    await type(page, "\x03");
    await page.keyboard.press("Control+C");
    await type(page, "echo do''ne\r");
    await shows(page, "done");
  });

  test("back and forward come to the same shell", async () => {
    await type(page, "S=same; clear\r");
    await page.goto("/");
    await page.getByLabel("Join code").waitFor();
    await page.goBack();
    await type(page, "echo the-$S-shell\r");
    await shows(page, "the-same-shell");
  });

  test("programs that take the whole screen, and wide characters", async () => {
    await type(page, "clear; printf '漢字🎉|\\n'; nano new.txt\r");
    await shows(page, "GNU nano");
    await page.keyboard.type("written in nano");
    await page.keyboard.press("Control+S");
    await page.keyboard.press("Control+X");
    await type(page, "cat new.txt; echo le''ft\r");
    await shows(page, "left");
    expect(await screen(page)).toContain("written in nano");
  });
});
