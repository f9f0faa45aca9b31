import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { House, join, looked, missing, shows, token, type, url } from "./support/house.js";

/** A name that would be code, or break a line, where it is not treated as text. */
const HOSTILE = `<script>alert("x")</script> ${"🦀".repeat(8)}`;
const CLASS = 'Rust & <b>"friends"</b> 101';

describe.skipIf(missing !== "")("a whole class in the browser", () => {
  const house = new House();
  let desk: Page;
  let code = "";
  const people: { name: string; context: BrowserContext; page: Page }[] = [];

  beforeAll(() => house.open());
  afterAll(async () => {
    expect(house.complaints()).toEqual([]);
    // Whatever the story left behind.
    for await (const workshop of house.client.workshops.list()) {
      if (workshop.name === CLASS) await workshop.delete();
    }
    await house.close();
  });

  test("the instructor signs in, by a token that no address ever has", async () => {
    desk = await (await house.person()).newPage();
    await desk.goto("/console");
    await looked(desk, "console-sign-in");
    await desk.getByLabel("API token").fill("wrong");
    await desk.getByRole("button", { name: "Sign in" }).click();
    await desk.getByRole("alert").waitFor();
    await desk.getByLabel("API token").fill(token);
    await desk.getByRole("button", { name: "Sign in" }).click();
    await desk.getByRole("heading", { name: "Workshops" }).waitFor();
    expect(desk.url()).toBe(`${url}/console`);
    // It is this tab's alone.
    const other = await desk.context().newPage();
    await other.goto("/console");
    await other.getByLabel("API token").waitFor();
    await other.close();
  });

  test("they make a class of three", async () => {
    await desk.getByRole("main").getByRole("link", { name: "New workshop" }).click();
    await desk.getByLabel("Seats", { exact: true }).fill("none");
    await desk.getByRole("button", { name: "Create" }).click();
    await desk.getByText("A number from 1").waitFor();
    await desk.getByLabel("Name", { exact: true }).fill(CLASS);
    await desk.getByLabel("Seats", { exact: true }).fill("3");
    await desk.getByLabel("Time", { exact: true }).selectOption("1h");
    await desk.getByLabel("Instructions").fill("# Welcome\n\nSay hello:\n\n```sh\nwhoami\n```\n");
    await looked(desk, "console-create");
    await desk.getByRole("button", { name: "Create" }).click();
    await desk.getByRole("heading", { name: CLASS }).waitFor();
    const link = await desk.locator("code", { hasText: "/j/" }).textContent();
    code = link?.split("/j/")[1] ?? "";
    expect(code).toMatch(/^[0-9A-Z]{5}-[0-9A-Z]{5}$/);
    await desk.getByRole("button", { name: "Show large" }).click();
    await desk.getByRole("img", { name: /QR code/ }).waitFor();
    await looked(desk, "console-invite");
    await desk.getByRole("dialog").getByRole("button", { name: "Close" }).click();
  });

  test("three learners join and type, and the wall shows them", async () => {
    for (const name of ["Ada", "Grace", HOSTILE]) {
      const context = await house.person();
      people.push({ name, context, page: await context.newPage() });
    }
    await Promise.all(people.map(({ page, name }) => join(page, code, name)));
    for (const [n, { page }] of people.entries()) {
      await type(page, `echo learner-$((${n}+1))\r`);
      await shows(page, `learner-${n + 1}`);
    }
    const wall = desk.getByRole("region", { name: "Seats" });
    for (const { name } of people) {
      await wall.getByRole("listitem").filter({ hasText: name }).getByText("ready").waitFor();
    }
    await wall
      .getByText(/Typing|Idle for/)
      .nth(2)
      .waitFor();
    // Its price is 24 cents an hour.
    await desk.getByText("under $0.01").waitFor();
    await looked(desk, "console-workshop");
  });

  test("the instructor looks at a terminal, and types in it when they are let", async () => {
    const [ada] = people as [(typeof people)[0]];
    const wall = desk.getByRole("region", { name: "Seats" });
    const tile = wall.getByRole("button").filter({ hasText: "Ada" });
    // Without the greeting: its dim words are the shell's to choose, and no finding of ours.
    await type(ada.page, "clear; echo learner-1\r");
    await tile.getByText("learner-1", { exact: false }).waitFor();
    await tile.click();
    await desk.getByRole("button", { name: "Look at the terminal" }).click();
    const look = desk.locator('[data-look="live"]');
    await look.getByText("learner-1", { exact: true }).waitFor();
    await ada.page.getByText("Somebody of the course staff looks").waitFor();
    // Whose hand it was is told from the next key on.
    await type(ada.page, " ");
    await look.getByText("They typed last").waitFor();
    await looked(desk, "console-look");
    await desk.getByRole("button", { name: "Help in it" }).click();
    await look.getByText("learner-1", { exact: true }).waitFor();
    const keys = look.getByRole("textbox", { name: /^Terminal of seat/ });
    await keys.pressSequentially("#");
    await desk.getByText("they have not let you yet").waitFor();
    await ada.page.getByRole("button", { name: "Let them type" }).click();
    await expect
      .poll(
        async () => {
          await keys.pressSequentially("echo by-two-hands\r");
          return (await look.textContent())?.includes("by-two-hands");
        },
        { timeout: 30_000 },
      )
      .toBe(true);
    await shows(ada.page, "by-two-hands");
    await ada.page.getByText("and types in it now").waitFor();
    await look.getByText("You typed last").waitFor();
    // Another terminal than the first can be chosen, too.
    await ada.page.getByRole("button", { name: "New terminal" }).click();
    await type(ada.page, "clear; echo in-the-sec''ond\r");
    await desk.getByRole("combobox", { name: "Terminal" }).selectOption({ index: 1 });
    await look.getByText("in-the-second", { exact: true }).waitFor();
    await looked(desk, "console-look-second");
    await ada.page.getByRole("tab", { name: "Terminal 1" }).click();
    await desk.getByRole("dialog").getByRole("button", { name: "Close" }).click();
    await ada.page.getByText("of the course staff").waitFor({ state: "detached" });
  });

  test("the class is full for a fourth, who comes in when there is room", async () => {
    const context = await house.person();
    const page = await context.newPage();
    await page.goto(`/j/${code}`);
    await looked(page, "join");
    await page.getByLabel("Your name").fill("Late");
    await page.getByRole("button", { name: "Join", exact: true }).click();
    await page.getByText("The class is full").waitFor();
    await looked(page, "join-full");
    await desk.getByRole("button", { name: "Seats…" }).click();
    await desk.getByRole("dialog").getByLabel("Seats", { exact: true }).fill("4");
    await desk.keyboard.press("Enter");
    await desk.getByText("3 of 4", { exact: true }).waitFor();
    await page.locator('.pane[data-state="live"]').waitFor({ timeout: 100_000 });
    await context.close();
  });

  test("one edits, one uploads, one reloads", async () => {
    const [editor, uploader, reloader] = people.map(({ page }) => page) as [Page, Page, Page];
    await editor.getByRole("button", { name: "New file" }).click();
    await editor.getByRole("dialog").getByLabel("Name").fill("main.rs");
    await editor.keyboard.press("Enter");
    await editor.getByRole("textbox", { name: "main.rs" }).click();
    await editor.keyboard.type('fn main() { println!("hi");');
    await editor.keyboard.press("Control+S");
    await editor.getByRole("button", { name: "Saved", exact: true }).waitFor();
    await type(editor, "clear; cat main.rs\r");
    await shows(editor, 'println!("hi")');
    await looked(editor, "workspace-editor");
    await uploader.getByLabel("Files to upload").setInputFiles({
      name: "data.csv",
      mimeType: "text/csv",
      buffer: Buffer.alloc(3_000_000, "1,2,3\n"),
    });
    await uploader.getByRole("treeitem", { name: "data.csv" }).waitFor();
    await type(uploader, "wc -c < data.csv\r");
    await shows(uploader, "3000000");
    await type(reloader, "K=kept\r");
    await reloader.reload();
    await type(reloader, "echo still-$K\r");
    await shows(reloader, "still-kept");
  });

  test("the instructor extends the time, resets one seat and takes another back", async () => {
    await desk.getByRole("button", { name: "One hour more" }).click();
    await desk.getByText(/1 h 5\d min/).waitFor();
    const wall = desk.getByRole("region", { name: "Seats" });
    const [reset, revoked] = people as [(typeof people)[0], (typeof people)[0]];
    await wall.getByRole("button").filter({ hasText: "Ada" }).click();
    await looked(desk, "console-seat");
    await desk.getByRole("button", { name: "Reset" }).click();
    await desk
      .getByRole("dialog", { name: /^Reset seat/ })
      .getByRole("button", { name: "Reset" })
      .click();
    await shows(reset.page, "a new shell");
    await desk.getByRole("dialog").getByRole("button", { name: "Close" }).click();
    await wall.getByRole("button").filter({ hasText: "Grace" }).click();
    await desk.getByRole("button", { name: "Take it back" }).click();
    await desk
      .getByRole("dialog", { name: /^Take seat/ })
      .getByRole("button", { name: "Take it back" })
      .click();
    await revoked.page.getByText("Your seat was taken back").waitFor();
    await looked(revoked.page, "join-revoked");
    await desk.getByRole("dialog").getByRole("button", { name: "Close" }).click();
  });

  test("it is stopped, and comes back with its learners and their files", async () => {
    const { page } = people[2] as (typeof people)[0];
    await type(page, "echo mi''ne > kept; cat kept\r");
    await shows(page, "mine");
    await desk.getByRole("button", { name: "Stop…" }).click();
    await desk.getByRole("dialog").getByRole("button", { name: "Stop", exact: true }).click();
    await desk.getByRole("button", { name: "Start", exact: true }).waitFor();
    await desk.getByText("stopped; starting it brings seats and files back").waitFor();
    await looked(desk, "console-stopped");
    await desk.getByRole("button", { name: "Start", exact: true }).click();
    await desk.getByRole("button", { name: "Stop…" }).waitFor();
    await page.locator('.pane[data-state="live"]').waitFor({ timeout: 60_000 });
    await type(page, "clear; echo it-is-$(cat kept)\r");
    await shows(page, "it-is-mine");
  });

  test("it is deleted by its name, and everybody is told", async () => {
    await desk.getByRole("link", { name: "Workshops" }).click();
    await desk.getByRole("link", { name: CLASS }).waitFor();
    await looked(desk, "console-list");
    await desk.getByRole("link", { name: CLASS }).click();
    await desk.getByRole("button", { name: "Delete…" }).click();
    await desk.getByLabel("Name of the workshop").fill("something else");
    await desk.getByRole("button", { name: "Delete it" }).click();
    await looked(desk, "console-delete");
    await desk.getByLabel("Name of the workshop").fill(CLASS);
    await desk.getByRole("button", { name: "Delete it" }).click();
    await desk.getByRole("heading", { name: "Workshops" }).waitFor();
    const learner = people[0]?.page as Page;
    await learner
      .getByRole("heading", { name: "The workshop is over" })
      .waitFor({ timeout: 60_000 });
    await looked(learner, "join-over");
  });
});
