import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { House, join, looked, missing, screen, shows, type } from "./support/house.js";

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
    await looked(page, "workspace-paste");
    await page.getByRole("button", { name: "Paste" }).click();
    await shows(page, /second\s+.*second/s);
    await type(page, "\x03");
    await page.keyboard.press("Control+C");
    // What is typed before the prompt may be thrown away with the interrupt.
    await shows(page, "[130]");
    await type(page, "echo do''ne\r");
    await shows(page, "done");
  });

  test("what a program wants to copy is offered, and copied when the learner says so", async () => {
    await page.evaluate(() => navigator.clipboard.writeText("before"));
    const print = (text: string) => {
      const encoded = Buffer.from(text).toString("base64");
      return type(page, `clear; printf '\\033]52;c;${encoded}\\007'; echo off''ered\r`);
    };
    await print("grüße 🎉");
    const offer = page.getByText("A program wants to copy grüße 🎉");
    await offer.waitFor();
    await looked(page, "workspace-offer");
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe("before");
    await page.getByRole("button", { name: "Copy it" }).click();
    await offer.waitFor({ state: "detached" });
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe("grüße 🎉");
    // Whoever asks for the clipboard gets nothing typed into the shell.
    await type(page, "clear; printf '\\033]52;c;?\\007'; echo ask''ed\r");
    await shows(page, /^asked/m);
    expect(await screen(page)).not.toContain("52;");
  });

  test("options: letters grow, and a selection is copied as it is made", async () => {
    const cols = async () => {
      await type(page, "clear; echo co''ls=$(tput cols).\r");
      await shows(page, /cols=\d+\./);
      return Number(/cols=(\d+)\./.exec(await screen(page))?.[1]);
    };
    const before = await cols();
    await page.getByRole("button", { name: "Options" }).click();
    for (let n = 0; n < 4; n += 1)
      await page.getByRole("button", { name: "Larger letters" }).click();
    await page.getByLabel("Copy what is selected at once").check();
    await looked(page, "workspace-options");
    await page.keyboard.press("Escape");
    await page.getByLabel("Copy what is selected at once").waitFor({ state: "hidden" });
    await expect.poll(cols).toBeLessThan(before);
    await type(page, "clear; echo sel''ected\r");
    await shows(page, /^selected/m);
    const row = page.locator(".xterm-rows > div", { hasText: /^selected/ });
    await row.dblclick({ position: { x: 20, y: 5 }, force: true });
    await expect.poll(() => page.evaluate(() => navigator.clipboard.readText())).toBe("selected");
    // They are this browser's, and a reload keeps them.
    await page.reload();
    expect(await cols()).toBeLessThan(before);
    await page.getByRole("button", { name: "Options" }).click();
    for (let n = 0; n < 4; n += 1) {
      await page.getByRole("button", { name: "Smaller letters" }).click();
    }
    await page.getByLabel("Copy what is selected at once").uncheck();
    await page.keyboard.press("Escape");
    await expect.poll(cols).toBe(before);
  });

  test("full screen, and back", async () => {
    await page.getByRole("button", { name: /^Full screen/ }).click();
    await page.getByRole("button", { name: "Leave full screen" }).click();
    await page.getByRole("button", { name: /^Full screen/ }).waitFor();
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
