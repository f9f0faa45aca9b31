import { readFile } from "node:fs/promises";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  comeBack,
  House,
  join,
  looked,
  missing,
  noted,
  picture,
  screen,
  shows,
  type,
  wayBack,
} from "./support/house.js";

const INSTRUCTIONS = `# First steps

Look around, then *make something*. <img src=x onerror=alert(1)>

\`\`\`sh
echo from-the-$((1+1))-instructions
\`\`\`

1. Open **hello.py**
2. [Read more](https://example.org/) or [do harm](javascript:alert(1))
`;

describe.skipIf(missing !== "")("a learner's workspace", () => {
  const house = new House();
  let page: Page;
  let code: string;

  beforeAll(async () => {
    await house.open();
    ({ code } = await house.workshop({ name: "First steps", instructions: INSTRUCTIONS }));
    page = await (await house.person()).newPage();
    await join(page, code, "Grace");
  });
  afterAll(async () => {
    expect(house.complaints()).toEqual([]);
    await house.close();
  });

  test("the way back is shown once, and brings another device to the same seat", async () => {
    const reconnect = await wayBack(page);
    expect(reconnect).toMatch(/^[0-9A-Z]{26,}$/);
    await looked(page, "workspace-way-back");
    await noted(page);
    await type(page, "X=kept\r");
    const device = await house.person();
    const other = await device.newPage();
    await comeBack(other, code, reconnect);
    await type(other, "echo $X-there\r");
    await shows(other, "kept-there");
    await device.close();
  });

  test("a reload and a second tab lose nothing and show no code again", async () => {
    await type(page, "for n in $(seq 200); do echo line-$n; done; Y=alive\r");
    await shows(page, "line-200");
    await page.reload();
    await type(page, "echo $X-$Y-again\r");
    await shows(page, "kept-alive-again");
    expect(await page.getByRole("region", { name: "Your way back" }).count()).toBe(0);
    // What had scrolled away before the reload is there still.
    await page.keyboard.press("Control+Shift+F");
    await page.getByLabel("Find in this terminal").fill("line-57");
    await page.keyboard.press("Enter");
    await shows(page, /line-57\s/);
    await page.keyboard.press("Escape");
    const tab = await page.context().newPage();
    await tab.goto(`/j/${code}`);
    await type(tab, "echo second-$Y\r");
    await shows(tab, "second-alive");
    await tab.close();
    // A key leaves what the search found, and goes back to where the shell is.
    await page.bringToFront();
    await type(page, "\r");
    await shows(page, "second-alive");
  });

  test("terminals in tabs: add, rename, close, and find its shell again", async () => {
    await page.getByRole("button", { name: "New terminal" }).click();
    await type(page, "Z=in-two; clear; echo I am $Z\r");
    await shows(page, "I am in-two");
    await page.getByRole("tab", { name: "Terminal 2" }).dblclick();
    await page.getByLabel("Name", { exact: true }).fill("build");
    await page.keyboard.press("Enter");
    await page.getByRole("tab", { name: "build" }).waitFor();
    await page.keyboard.press("Control+Shift+F6");
    await page.getByRole("button", { name: "Close this terminal" }).click();
    await page.getByRole("button", { name: "New terminal" }).click();
    await type(page, "echo $Z-still\r");
    await shows(page, "in-two-still");
    await type(page, "exit 3\r");
    await page.getByText("The shell has ended with 3.").waitFor();
    await page.getByRole("button", { name: "New shell" }).click();
    await type(page, "echo new-$Z.\r");
    await shows(page, "new-.");
    await page.getByRole("tab", { name: "Terminal 1" }).click();
  });

  test("instructions are text, and their blocks run", async () => {
    const pane = page.getByRole("region", { name: "Instructions" });
    await pane.getByText("<img src=x onerror=alert(1)>").waitFor();
    expect(await pane.locator("img").count()).toBe(0);
    expect(await pane.getByRole("link").allTextContents()).toEqual(["Read more"]);
    await pane.getByRole("button", { name: "Run" }).click();
    await shows(page, "from-the-2-instructions");
  });

  test("files: make, edit, save, and a conflict that overwrites nothing", async () => {
    await page.getByRole("button", { name: "New file" }).click();
    await page.getByLabel("Name", { exact: true }).fill("src/hello.py");
    await page.keyboard.press("Enter");
    const sheet = page.getByRole("textbox", { name: "src/hello.py" });
    await sheet.click();
    await page.keyboard.type("print('hello from the editor')");
    await page.getByLabel("not saved").waitFor();
    await page.keyboard.press("Control+S");
    await page.getByRole("button", { name: "Saved", exact: true }).waitFor();
    await type(page, "clear; python3 src/hello.py\r");
    await shows(page, "hello from the editor");
    await looked(page, "workspace");
    await type(page, "echo \"print('theirs')\" > src/hello.py; echo chan''ged\r");
    await shows(page, "changed");
    await sheet.click();
    await page.keyboard.press("Control+End");
    await page.keyboard.type(" # mine");
    await page.keyboard.press("Control+S");
    await page.getByText("was changed elsewhere").waitFor();
    await page.getByText("print('theirs')").first().waitFor();
    await looked(page, "workspace-conflict");
    await page.getByRole("button", { name: "Keep mine" }).click();
    await page.getByRole("button", { name: "Saved", exact: true }).waitFor();
    await type(page, "clear; cat src/hello.py\r");
    await shows(page, "# mine");
    await page.getByRole("button", { name: "Close src/hello.py" }).click();
  });

  test("files: upload, never over another without a word, and download", async () => {
    const upload = (text: string) =>
      page.getByLabel("Files to upload").setInputFiles({
        name: "émoji 🎉 <b>.txt",
        mimeType: "text/plain",
        buffer: Buffer.from(text),
      });
    await type(page, "\r");
    await upload("first");
    const line = page.getByRole("treeitem", { name: "émoji 🎉 <b>.txt" });
    await line.waitFor();
    await upload("second");
    await page.getByText("is there already").waitFor();
    await page.getByRole("button", { name: "Replace" }).click();
    await type(page, "clear; until grep second src/*.txt; do sleep 0.1; done\r");
    await shows(page, "second");
    await line.click();
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Download", exact: true }).click(),
    ]);
    expect(download.suggestedFilename()).toContain("moji");
    expect(await readFile(await download.path(), "utf8")).toBe("second");
    const [archive] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Download all" }).click(),
    ]);
    expect(archive.suggestedFilename()).toMatch(/\.tar$/);
    await page.getByRole("button", { name: "Delete" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await line.waitFor({ state: "detached" });
  });

  test("files: a name that is too long is told, and put away", async () => {
    await page.getByRole("button", { name: "New file" }).click();
    await page.getByLabel("Name", { exact: true }).fill("🦀".repeat(255));
    await page.keyboard.press("Enter");
    const told = page.getByRole("alert").filter({ hasText: "New file:" });
    await told.waitFor();
    await looked(page, "workspace-refused");
    await told.getByRole("button", { name: "Put this away" }).click();
    await told.waitFor({ state: "detached" });
    // As long as a name may be, it is one.
    const longest = `${"🦀".repeat(60)}<b>.txt`;
    await page.getByRole("button", { name: "New file" }).click();
    await page.getByLabel("Name", { exact: true }).fill(longest);
    await page.keyboard.press("Enter");
    await page.getByRole("textbox", { name: longest }).waitFor();
    await page.getByRole("button", { name: `Close ${longest}` }).click();
  });

  test("the tree obeys keys", async () => {
    await type(page, "mkdir -p a/b && touch a/b/deep.txt z.txt; echo re''ady\r");
    await shows(page, "ready");
    await page.getByRole("button", { name: "Look again" }).click();
    const tree = page.getByRole("tree");
    await tree.getByRole("treeitem", { name: "z.txt" }).waitFor();
    await tree.locator('[tabindex="0"]').focus();
    await page.keyboard.press("Home");
    await page.keyboard.press("ArrowRight");
    await tree.getByRole("treeitem", { name: "b", exact: true }).waitFor();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowRight");
    await tree.getByRole("treeitem", { name: "deep.txt" }).waitFor();
    await page.keyboard.press("z");
    await expect
      .poll(() => page.evaluate(() => document.activeElement?.getAttribute("data-path")))
      .toBe("z.txt");
    expect(await screen(page)).toContain("ready");
  });

  test("files: dragged into a folder and out again, never over another", async () => {
    await type(
      page,
      "clear; mkdir -p box/in; echo one > drag.txt; echo two > box/drag.txt; echo re''ady\r",
    );
    await shows(page, "ready");
    await page.getByRole("button", { name: "Look again" }).click();
    const tree = page.getByRole("tree");
    const line = (path: string) => tree.locator(`[data-path="${path}"]`);
    await line("box").waitFor();
    await line("drag.txt").dragTo(line("box"));
    await page.getByRole("alert").filter({ hasText: "Move:" }).waitFor();
    await type(page, "clear; cat drag.txt box/drag.txt; rm box/drag.txt; echo do''ne\r");
    await shows(page, /one\s+two\s+done/);
    await line("drag.txt").dragTo(line("box"));
    await line("drag.txt").waitFor({ state: "detached" });
    if ((await line("box").getAttribute("aria-expanded")) === "false") await line("box").click();
    await line("box/drag.txt").dragTo(line("z.txt"));
    await line("drag.txt").waitFor();
    // A folder goes into no folder of its own.
    await line("box").dragTo(line("box/in"));
    await type(page, "clear; ls -d box/in; cat drag.txt\r");
    await shows(page, /box\/in\s+one/);
  });

  test("files: line ends stay as they were", async () => {
    await type(page, "clear; printf 'one\\r\\ntwo\\r\\n' > dos.txt; echo ma''de\r");
    await shows(page, "made");
    await page.getByRole("button", { name: "Look again" }).click();
    await page.getByRole("treeitem", { name: "dos.txt" }).click();
    const sheet = page.getByRole("textbox", { name: "dos.txt" });
    await sheet.click();
    await page.getByRole("button", { name: "Saved", exact: true }).waitFor();
    expect(await page.getByLabel("not saved").count()).toBe(0);
    await page.keyboard.press("Control+End");
    await page.keyboard.type("three\n");
    await page.getByLabel("not saved").waitFor();
    await page.keyboard.press("Control+S");
    await page.getByRole("button", { name: "Saved", exact: true }).waitFor();
    await type(page, "clear; od -An -c dos.txt | tr -d ' \\n'; echo\r");
    await shows(page, "one\\r\\ntwo\\r\\nthree\\r\\n");
    await page.getByRole("button", { name: "Close dos.txt" }).click();
  });

  test("a phone can read and type", async () => {
    await page.setViewportSize({ width: 390, height: 800 });
    await picture(page, "workspace-phone");
    await page.getByRole("button", { name: "Files", exact: true }).click();
    await page.getByRole("tree").waitFor();
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(
      390,
    );
  });
});
