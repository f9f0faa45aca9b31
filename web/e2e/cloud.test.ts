// Google takes a machine away under a page, and gives it back with its files.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Cloud, missing as lacks } from "./support/cloud.js";
import { House, join, looked, missing, shows, type } from "./support/house.js";

describe.skipIf((missing || lacks) !== "")("a class on a spot VM", () => {
  let cloud: Cloud | undefined;
  let house: House;
  beforeAll(async () => {
    cloud = await Cloud.start();
    house = new House(cloud);
    await house.open();
    // Another run's VMs have the same addresses: they are waited for.
  }, 600_000);
  afterAll(async () => {
    try {
      expect(house?.complaints()).toEqual([]);
    } finally {
      await house?.close();
      await cloud?.close();
    }
  });

  test("is preempted: people are told, files and what was typed are there when it is back", async () => {
    const workshop = await house.workshop({ name: "Spot" });
    const desk = await (await house.person()).newPage();
    await house.signIn(desk);
    await desk.goto(`/console/${workshop.id}`);
    const page = await (await house.person()).newPage();
    await join(page, workshop.code, "Ada");
    await page.getByRole("button", { name: "I have it" }).click();
    await type(page, "echo pre''cious > saved.txt; cat saved.txt\r");
    await shows(page, "precious");
    await page.getByRole("treeitem", { name: "saved.txt" }).click();
    const editor = page.getByRole("textbox", { name: "saved.txt" });
    await editor.click();
    await page.keyboard.type("unsaved ");

    await cloud?.preempt();
    const notice = page.getByText("a machine is taken away by its cloud");
    await notice.waitFor();
    await desk.getByText("a machine is taken away by its cloud").waitFor();
    await page.getByText("Your machine is away; files are kept").waitFor({ timeout: 60_000 });
    await looked(page, "workspace-preempted");
    await looked(desk, "console-preempted");

    await page.locator('.pane[data-state="live"]').waitFor({ timeout: 100_000 });
    await shows(page, "a new shell");
    await type(page, "clear; cat saved.txt\r");
    await shows(page, /^precious/m);
    // The editor has what was typed, and saves it to the machine that came.
    await editor.click();
    await page.keyboard.press("Control+S");
    await page.getByRole("button", { name: "Saved", exact: true }).waitFor();
    await type(page, "clear; cat saved.txt\r");
    await shows(page, "unsaved");
    // What is over is not said any more.
    await notice.waitFor({ state: "detached" });
    await desk.locator('[data-seat="1"]').getByText("ready", { exact: true }).waitFor();
    await desk.getByText("a machine is taken away").waitFor({ state: "detached" });
    await page.context().close();
  });
});
