// What happens to a page when something below it is taken away.

import type { CDPSession, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Cable } from "./support/cable.js";
import { House, join, looked, missing, shows, type } from "./support/house.js";
import { killAgent, killMachine, restartServer } from "./support/worker.js";

/** How long seat tokens of this server live. */
const TOKEN_MS = Number(process.env.CLARATEACH_SEAT_TOKEN_SECONDS ?? "0") * 1000;

/** A page that the browser puts to sleep, and wakes. */
class Sleeper {
  private constructor(
    readonly page: Page,
    private readonly session: CDPSession,
  ) {}

  static async of(page: Page): Promise<Sleeper> {
    return new Sleeper(page, await page.context().newCDPSession(page));
  }

  async sleeps(): Promise<void> {
    await this.session.send("Page.setWebLifecycleState", { state: "frozen" });
  }

  async wakes(): Promise<void> {
    await this.session.send("Page.setWebLifecycleState", { state: "active" });
  }
}

describe.skipIf(missing !== "")("something is taken away under a page", () => {
  const house = new House();
  beforeAll(() => house.open());
  afterAll(async () => {
    expect(house.complaints()).toEqual([]);
    await house.close();
  });

  test("the agent is killed: the same shell goes on, and nothing that it said is lost", async () => {
    const workshop = await house.workshop({ name: "Agent" });
    const page = await (await house.person()).newPage();
    await join(page, workshop.code, "Ada");
    await workshop.waitRunning();
    await type(
      page,
      "K=kept; (until [ -e /tmp/go ]; do sleep 0.1; done; seq -f 'line-%g' 400) &\r",
    );
    await shows(page, "[1]");
    killAgent(workshop);
    await page.getByText("Reconnecting; your shell keeps running").waitFor();
    await type(page, "touch /tmp/go\r");
    await shows(page, "line-400");
    await type(page, "echo $K-and-well\r");
    await shows(page, "kept-and-well");
    // What scrolled by is all there, once.
    await page.keyboard.press("Control+Shift+F");
    await page.getByLabel("Find in this terminal").fill("line-123");
    await page.keyboard.press("Enter");
    await shows(page, /line-122\s+line-123\s+line-124/);
    await page.context().close();
  });

  test("the machine is lost: a new shell says so, files and the page's own work are there", async () => {
    const workshop = await house.workshop({ name: "Machine" });
    const page = await (await house.person()).newPage();
    await join(page, workshop.code, "Ada");
    await workshop.waitRunning();
    await type(page, "echo pre''cious > saved.txt; sync; cat saved.txt\r");
    await shows(page, "precious");
    await page.getByRole("treeitem", { name: "saved.txt" }).dblclick();
    const editor = page.getByRole("textbox", { name: "saved.txt" });
    await editor.click();
    await page.keyboard.type("unsaved ");
    killMachine(workshop);
    await shows(page, "a new shell");
    await type(page, "cat saved.txt\r");
    await shows(page, "precious");
    await looked(page, "workspace-machine-lost");
    // The editor has what was typed, and saves it to the machine that came.
    await editor.click();
    await page.keyboard.press("Control+S");
    await page.getByRole("button", { name: "Saved", exact: true }).waitFor();
    await type(page, "clear; cat saved.txt\r");
    await shows(page, /unsaved/);
    await page.context().close();
  });

  test.skipIf(TOKEN_MS === 0 || TOKEN_MS > 60_000)(
    "a tab and a laptop sleep until their tokens are over, and go on when they wake",
    async () => {
      const workshop = await house.workshop({ name: "Asleep", seats: 4 });
      const cable = await Cable.lay(process.env.CLARATEACH_URL ?? "");
      // The tab's network stays; the laptop's goes with it.
      const tab = await Sleeper.of(await (await house.person()).newPage());
      const laptop = await Sleeper.of(await (await house.person({ baseURL: cable.url })).newPage());
      // These wake to another seat than they fell asleep in.
      const reset = await Sleeper.of(await (await house.person()).newPage());
      const revoked = await Sleeper.of(await (await house.person()).newPage());
      const all = [tab, laptop, reset, revoked];
      for (const { page } of all) {
        await join(page, workshop.code, "Ada");
        await type(page, "K=kept; (sleep 8; echo said-mean''while) &\r");
        await shows(page, "[1]");
      }
      await Promise.all(all.map((one) => one.sleeps()));
      cable.cut();
      await workshop.resetSeat(3);
      await workshop.revokeSeat(4);
      await new Promise((over) => setTimeout(over, TOKEN_MS + 3_000));
      cable.mend();
      await Promise.all(all.map((one) => one.wakes()));
      for (const { page } of [tab, laptop]) {
        await shows(page, "said-meanwhile");
        await type(page, "echo $K-awake\r");
        await shows(page, "kept-awake");
        await page.context().close();
      }
      await shows(reset.page, "a new shell");
      await type(reset.page, "echo fr''esh-$K.\r");
      await shows(reset.page, "fresh-.");
      await revoked.page.getByText("Your seat was taken back").waitFor();
      for (const { page } of [reset, revoked]) await page.context().close();
      cable.close();
    },
  );

  test("the server is restarted: shells go on, and the console does", async () => {
    const workshop = await house.workshop({ name: "Restarted" });
    const page = await (await house.person()).newPage();
    await join(page, workshop.code, "Ada");
    const desk = await (await house.person()).newPage();
    await house.signIn(desk);
    await desk.goto(`/console/${workshop.id}`);
    await desk.getByText("1 of 1", { exact: true }).waitFor();
    await type(page, "K=kept; (until [ -e go ]; do sleep 0.1; done; echo said-mean''while) &\r");
    await shows(page, "[1]");
    restartServer();
    await page.getByText("Reconnecting; your shell keeps running").waitFor();
    await type(page, "touch go\r");
    await shows(page, "said-meanwhile");
    await type(page, "echo $K-and-well\r");
    await shows(page, "kept-and-well");
    await workshop.update({ seats: 2 });
    await desk.getByText("1 of 2", { exact: true }).waitFor();
    await page.context().close();
    await desk.context().close();
  });

  test("the network is away for longer than anybody waits: what was typed stays, and goes on", async () => {
    const workshop = await house.workshop({ name: "Long" });
    const cable = await Cable.lay(process.env.CLARATEACH_URL ?? "");
    const page = await (await house.person({ baseURL: cable.url })).newPage();
    await page.clock.install();
    await join(page, workshop.code, "Ada");
    await type(page, "K=kept; echo > notes.txt\r");
    await page.getByRole("treeitem", { name: "notes.txt" }).click();
    const editor = page.getByRole("textbox", { name: "notes.txt" });
    await editor.click();
    await page.keyboard.type("not saved yet");
    cable.cut();
    await page.getByText("Reconnecting; your shell keeps running").waitFor();
    // Past the five minutes after which a line is given up.
    await page.clock.fastForward("04:00");
    await page.clock.fastForward("04:00");
    await page.getByText(/Reconnecting; your shell keeps running \([89] min\)/).waitFor();
    await page.clock.fastForward("04:00");
    cable.mend();
    await page.evaluate(() => window.dispatchEvent(new Event("online")));
    await type(page, "echo $K-and-well\r");
    await shows(page, "kept-and-well");
    await editor.getByText("not saved yet").waitFor();
    await editor.click();
    await page.keyboard.press("Control+S");
    await page.getByRole("button", { name: "Saved", exact: true }).waitFor();
    await page.context().close();
    cable.close();
  });

  test("the clipboard is denied: copying says what to do, and pasting works all the same", async () => {
    const workshop = await house.workshop({ name: "Denied" });
    const context = await house.person();
    // As a school's policy does it; without one Chromium asks nobody before a page writes.
    await context.addInitScript(() => {
      const denied = () => Promise.reject(new DOMException("denied", "NotAllowedError"));
      // An empty page has none.
      Object.assign(navigator.clipboard ?? {}, { writeText: denied, readText: denied });
    });
    const page = await context.newPage();
    await join(page, workshop.code, "Ada");
    await page
      .getByRole("region", { name: "Your way back" })
      .getByRole("button", { name: "Copy" })
      .click();
    await page.getByText("Select it and press Ctrl-C").first().waitFor();
    await type(page, "clear; echo copy''this\r");
    await shows(page, /^copythis/m);
    const row = page.locator(".xterm-rows > div", { hasText: /^copythis/ });
    await row.dblclick({ position: { x: 20, y: 5 }, force: true });
    await page.keyboard.press("Control+C");
    await page.getByText("The browser did not let this page copy").waitFor();
    await looked(page, "workspace-copy-denied");
    // Copied by the browser's own hand, from a field of the page.
    await page.keyboard.press("Control+Shift+F");
    const field = page.getByLabel("Find in this terminal");
    await field.fill("echo pas''ted");
    await field.press("Control+A");
    await field.press("Control+C");
    await field.press("Escape");
    await type(page, "");
    await page.keyboard.press("Control+V");
    await page.keyboard.press("Enter");
    await shows(page, /^pasted/m);
    await context.close();
  });
});
