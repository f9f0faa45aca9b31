import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { audit } from "./support/audit.js";
import { Cable } from "./support/cable.js";
import { House, join, missing, picture, shows, type, url } from "./support/house.js";

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
    await picture(page, "home");
    expect(await audit(page)).toEqual([]);
    await page.getByLabel("Join code").fill(`${url}/j/aaaaa aaaaa`);
    await page.getByRole("button", { name: "Continue" }).click();
    await page.getByLabel("Your name").fill("Ada");
    await page.getByRole("button", { name: "Join", exact: true }).click();
    await page.getByRole("heading", { name: "No workshop has this code" }).waitFor();
    await picture(page, "join-wrong-code");
    expect(await audit(page)).toEqual([]);
    await person.close();
  });

  test("a machine that takes its time: the waiting room says so, then opens by itself", async () => {
    const workshop = await house.workshop({ name: "Slow" });
    const person = await house.person();
    const page = await person.newPage();
    let go: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      go = resolve;
    });
    // The seat's news, held back: here machines are up before anybody could look.
    await page.route("**/WatchSeat", async (route) => {
      await held;
      await route.continue();
    });
    await page.goto(`/j/${workshop.code}`);
    await page.getByLabel("Your name").fill("Ada");
    await page.getByRole("button", { name: "Join", exact: true }).click();
    await page.getByRole("heading", { name: "Your seat is being made" }).waitFor();
    expect(await audit(page)).toEqual([]);
    await picture(page, "waiting-room");
    go();
    await type(page, "echo he''llo-$((40+2))\r");
    await shows(page, "hello-42");
    expect(new URL(page.url()).search).toBe("");
    // Before the end it is said, and how long there is.
    await workshop.update({ ttl: "5m" });
    await page.getByText(/The workshop ends in [45]:\d\d/).waitFor();
    await picture(page, "workspace-ending");
    await page.getByRole("button", { name: "Got it" }).click();
    await person.close();
  });

  test("a network that goes away loses nothing, and says so quietly", async () => {
    const workshop = await house.workshop({ name: "Cut" });
    const cable = await Cable.lay(url);
    const person = await house.person({ baseURL: cable.url });
    const page = await person.newPage();
    await join(page, workshop.code, "Ada");
    const reconnectCode = await page
      .getByRole("region", { name: "Your way back" })
      .locator("code")
      .textContent();
    await type(page, "(until [ -e go ]; do sleep 0.1; done; echo said-while-aw''ay) &\r");
    await shows(page, "[1]");
    cable.cut();
    await page.getByText("Reconnecting; your shell keeps running").waitFor();
    await picture(page, "workspace-away");
    const seat = await house.client.join(workshop.code, { reconnectCode: reconnectCode ?? "" });
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
