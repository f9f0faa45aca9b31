// Everything by keys: to each dialog, round in it, out of it, and back to where one was.

import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { House, join, missing, shows, type } from "./support/house.js";

/** More stops than any page has between two things. */
const MOST = 80;

/** What has the focus: its name, as far as a page's own words go. */
function focused(page: Page): Promise<string> {
  return page.evaluate(() => {
    const at = document.activeElement;
    if (!at || at === document.body) return "";
    const label = at.id && document.querySelector(`label[for="${CSS.escape(at.id)}"]`);
    const said = at.getAttribute("aria-label") ?? (label || at).textContent ?? "";
    return said.trim();
  });
}

/** Goes on by Tab until something has the focus. */
async function tabTo(page: Page, name: string | RegExp, key = "Tab"): Promise<void> {
  const met: string[] = [];
  for (let n = 0; n < MOST; n += 1) {
    await page.keyboard.press(key);
    const now = await focused(page);
    if (typeof name === "string" ? now === name : name.test(now)) return;
    met.push(now);
  }
  throw new Error(`${name} is not reached: ${met.join(" | ")}`);
}

/** Once round in the dialog on top: nothing behind it has the focus, and all its buttons do. */
async function round(page: Page): Promise<void> {
  const dialog = page.getByRole("dialog").last();
  await dialog.waitFor();
  const wanted = await dialog.locator("button:enabled, input, select, a[href]").count();
  const met = new Set<string>();
  for (let n = 0; n < 2 * wanted + 4; n += 1) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(() => {
      const dialogs = document.querySelectorAll("dialog[open]");
      const top = dialogs[dialogs.length - 1];
      const { activeElement: now } = document;
      // From the last one the browser's own bar is next, for which the body stands.
      if (!now || now === document.body) return "";
      const all = Array.from(top?.querySelectorAll("button, input, select, a[href]") ?? []);
      return top?.contains(now) ? `${all.indexOf(now)}` : "outside";
    });
    expect(at).not.toBe("outside");
    if (at !== "" && at !== "-1") met.add(at);
  }
  expect(met.size).toBe(wanted);
}

/** Round in a dialog, and out by Escape to where one was. */
async function roundAndBack(page: Page, to: string | RegExp): Promise<void> {
  await round(page);
  const dialogs = await page.getByRole("dialog").count();
  await page.keyboard.press("Escape");
  await expect.poll(() => page.getByRole("dialog").count()).toBe(dialogs - 1);
  await expect.poll(() => focused(page)).toMatch(to);
}

describe.skipIf(missing !== "")("by keys alone", () => {
  const house = new House();
  beforeAll(() => house.open());
  afterAll(async () => {
    expect(house.complaints()).toEqual([]);
    await house.close();
  });

  test("a learner: in, tabs, files, every dialog", async () => {
    const { code } = await house.workshop({ name: "Keys", instructions: "# Read\n\nthis" });
    const page = await (await house.person()).newPage();
    await page.goto("/");
    await tabTo(page, "Join code");
    await page.keyboard.type(code);
    await page.keyboard.press("Enter");
    await expect.poll(() => focused(page)).toBe("Your name");
    await page.keyboard.type("Ada");
    await page.keyboard.press("Enter");
    await type(page, "touch one.txt; echo re''ady\r");
    await shows(page, "ready");
    // Tab is the shell's; this leaves.
    await page.keyboard.press("Control+Shift+F6");
    await expect.poll(() => focused(page)).toBe("Terminal 1");
    await page.keyboard.press("F2");
    await roundAndBack(page, "Terminal 1");
    await tabTo(page, "New terminal");
    await page.keyboard.press("Enter");
    await page.locator('.pane:not([hidden])[data-state="live"]').waitFor();
    await page.keyboard.press("Control+Shift+F6");
    await expect.poll(() => focused(page)).toBe("Terminal 2");
    await page.keyboard.press("ArrowLeft");
    await expect.poll(() => focused(page)).toBe("Terminal 1");
    await tabTo(page, "Options");
    await page.keyboard.press("Enter");
    await tabTo(page, "Larger letters");
    await page.keyboard.press("Enter");
    await tabTo(page, "Smaller letters", "Shift+Tab");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Escape");
    await expect.poll(() => focused(page)).toBe("Options");
    // Past the screen, which would take Tab for itself.
    await tabTo(page, /type here/);
    await page.keyboard.press("Control+Shift+F6");
    await expect.poll(() => focused(page)).toBe("Terminal 1");
    await tabTo(page, "Width of the instructions", "Shift+Tab");
    await page.keyboard.press("ArrowRight");
    await page.getByRole("button", { name: "New file" }).focus();
    for (const name of ["New file", "New folder"]) {
      if ((await focused(page)) !== name) await tabTo(page, name);
      await page.keyboard.press("Enter");
      await roundAndBack(page, name);
    }
    // Out by its own button, too.
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor();
    await tabTo(page, "Cancel");
    await page.keyboard.press("Enter");
    await expect.poll(() => focused(page)).toBe("New folder");
    await tabTo(page, /^one\.txt/);
    await page.keyboard.press("F2");
    await roundAndBack(page, /^one\.txt/);
    await page.keyboard.press("Delete");
    await roundAndBack(page, /^one\.txt/);
    await page.keyboard.press("Enter");
    await page.locator('[role="textbox"][aria-label="one.txt"]:focus').waitFor();
    // Tab is the editor's, too, until Escape.
    await page.keyboard.press("Escape");
    await tabTo(page, /^one\.txt/);
    const role = page.evaluate(() => document.activeElement?.getAttribute("role"));
    expect(await role).toBe("treeitem");
    // An answer by Enter does it.
    await page.keyboard.press("Delete");
    await round(page);
    await tabTo(page, "Delete");
    await page.keyboard.press("Enter");
    await page.getByRole("treeitem", { name: "one.txt" }).waitFor({ state: "detached" });
    await page.context().close();
  });

  test("an instructor: in, a class, every dialog", async () => {
    const workshop = await house.workshop({ name: "Keys" });
    await workshop.waitRunning();
    const learner = await (await house.person()).newPage();
    await join(learner, workshop.code, "Ada");
    const page = await (await house.person()).newPage();
    await house.signIn(page);
    await tabTo(page, "New workshop");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "New workshop" }).waitFor();
    await page.goto(`/console/${workshop.id}`);
    await page.getByRole("button", { name: "Seats…" }).waitFor();
    for (const name of ["Seats…", "Stop…", "Delete…", "Show large, with QR code"]) {
      await tabTo(page, name);
      await page.keyboard.press("Enter");
      await roundAndBack(page, name);
    }
    await page.locator('[data-seat="1"]').getByText("ready").waitFor();
    await tabTo(page, /^1Ada/);
    await page.keyboard.press("Enter");
    await round(page);
    for (const name of ["Reset", "Take it back"]) {
      await tabTo(page, name);
      await page.keyboard.press("Enter");
      // The seat's own is there already, and is not the one that is meant.
      await expect.poll(() => page.locator("dialog[open]").count()).toBe(2);
      await roundAndBack(page, name);
    }
    await tabTo(page, "Look at the terminal");
    await page.keyboard.press("Enter");
    await page.locator('[data-look="live"]').waitFor();
    await page.keyboard.press("Escape");
    await expect.poll(() => page.getByRole("dialog").count()).toBe(0);
    await expect.poll(() => focused(page)).toMatch(/^1Ada/);
    await learner.context().close();
    await page.context().close();
  });
});
