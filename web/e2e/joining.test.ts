import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { House, join, missing, picture, shows, token, type, url } from "./support/house.js";

describe.skipIf(missing !== "")("a learner comes in", () => {
  const house = new House();
  beforeAll(() => house.open());
  afterAll(() => house.close());

  test("from a link to a shell that answers, through the waiting room", async () => {
    const workshop = await house.workshop({ name: "Python <script>alert(1)</script> 101" });
    const person = await house.person();
    const page = await person.newPage();
    await join(page, workshop.code, "Ada");
    await type(page, "echo he''llo-$((40+2))\r");
    await shows(page, "hello-42");
    expect(new URL(page.url()).search).toBe("");
    expect(house.complaints()).toEqual([]);
    await picture(page, "workspace-first");
    // The token that the instructor has is nowhere here.
    expect(await page.content()).not.toContain(token);
    await person.close();
  });

  test("a wrong code is told, and what to do", async () => {
    const person = await house.person();
    const page = await person.newPage();
    await page.goto(`${url}/j/AAAAA-AAAAA`);
    await page.getByLabel("Your name").fill("Ada");
    await page.getByRole("button", { name: "Join", exact: true }).click();
    await page.getByRole("heading", { name: "No workshop has this code" }).waitFor();
    await picture(page, "wrong-code");
    expect(house.complaints()).toEqual([]);
    await person.close();
  });
});
