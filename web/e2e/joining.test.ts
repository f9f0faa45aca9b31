import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Cable } from "./support/cable.js";
import { House, join, looked, missing, shows, type, url, wayBack } from "./support/house.js";
import { breakSeat, mendSeat, sleepAgent } from "./support/worker.js";

describe.skipIf(missing !== "")("a learner comes in, and stays", () => {
  const house = new House();
  beforeAll(() => house.open());
  afterAll(async () => {
    expect(house.complaints()).toEqual([]);
    await house.close();
  });

  test("a wrong code is told, and what to do", async () => {
    const person = await house.person();
    const page = await person.newPage();
    await page.goto("/");
    await looked(page, "home");
    await page.getByLabel("Join code").fill(`${url}/j/aaaaa aaaaa`);
    await page.getByRole("button", { name: "Continue" }).click();
    await page.getByLabel("Your name").fill("Ada");
    await page.getByRole("button", { name: "Join", exact: true }).click();
    await page.getByRole("heading", { name: "No workshop has this code" }).waitFor();
    await looked(page, "join-wrong-code");
    await person.close();
  });

  test("a machine that takes its time: the waiting room says so, then opens by itself", async () => {
    const workshop = await house.workshop({ name: "Slow" });
    await workshop.waitRunning();
    const first = await house.client.join(workshop.code, { name: "First" });
    // Who would make the second seat.
    const agent = sleepAgent(workshop);
    await workshop.update({ seats: 2 });
    const person = await house.person();
    const page = await person.newPage();
    await page.goto(`/j/${workshop.code}`);
    // Longer than a name may be: the field takes what fits.
    await page.getByLabel("Your name").fill("🦀".repeat(255));
    expect(await page.getByLabel("Your name").inputValue()).toBe("🦀".repeat(32));
    await page.getByRole("button", { name: "Join", exact: true }).click();
    await page.getByRole("heading", { name: "Your seat is being made" }).waitFor();
    await looked(page, "waiting-room");
    agent.wake();
    await type(page, "echo he''llo-$((40+2))\r");
    await shows(page, "hello-42");
    expect(new URL(page.url()).search).toBe("");
    // Before the end it is said, and how long there is.
    await workshop.update({ ttl: "5m" });
    await page.getByText(/The workshop ends in [45]:\d\d/).waitFor();
    await looked(page, "workspace-ending");
    await page.getByRole("button", { name: "Got it" }).click();
    first.close();
    await person.close();
  });

  test("a seat that fails: the waiting room says so, and opens when it is mended", async () => {
    const workshop = await house.workshop({ name: "Broken" });
    await workshop.waitRunning();
    const first = await house.client.join(workshop.code, { name: "First" });
    breakSeat(workshop, 2);
    await workshop.update({ seats: 2 });
    const person = await house.person();
    const page = await person.newPage();
    await page.goto(`/j/${workshop.code}`);
    await page.getByLabel("Your name").fill("Ada");
    await page.getByRole("button", { name: "Join", exact: true }).click();
    await page.getByText(/it failed; your instructor sees this · \w/).waitFor();
    await looked(page, "waiting-room-failed");
    // Their instructor sees why, and has another machine made.
    const desk = await (await house.person()).newPage();
    await house.signIn(desk);
    await desk.goto(`/console/${workshop.id}`);
    await desk.locator('[data-seat="2"]').getByText("failed", { exact: true }).waitFor();
    await looked(desk, "console-seat-failed");
    mendSeat(workshop, 2);
    await desk.locator('[data-seat="2"] button').click();
    await desk.getByRole("button", { name: "Reset" }).click();
    await desk
      .getByRole("dialog", { name: /^Reset seat/ })
      .getByRole("button", { name: "Reset" })
      .click();
    await type(page, "echo he''re\r");
    await shows(page, "here");
    first.close();
    await person.close();
    await desk.context().close();
  });

  test("a network that goes away loses nothing, and says so quietly", async () => {
    const workshop = await house.workshop({ name: "Cut" });
    const cable = await Cable.lay(url);
    const person = await house.person({ baseURL: cable.url });
    const page = await person.newPage();
    await join(page, workshop.code, "Ada");
    const reconnectCode = await wayBack(page);
    await type(page, "(until [ -e go ]; do sleep 0.1; done; echo said-while-aw''ay) &\r");
    await shows(page, "[1]");
    cable.cut();
    await page.getByText("Reconnecting; your shell keeps running").waitFor();
    await looked(page, "workspace-away");
    const seat = await house.client.join(workshop.code, { reconnectCode });
    await seat.files.write("go", "");
    seat.close();
    cable.mend();
    // As the browser says when its own network is back: the page need not wait out its pause.
    await page.evaluate(() => window.dispatchEvent(new Event("online")));
    await shows(page, "said-while-away");
    await type(page, "echo back-$((1+1))\r");
    await shows(page, "back-2");
    await person.close();
    cable.close();
  });
});
