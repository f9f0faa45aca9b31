import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { House, join, missing, shows, type, url } from "./support/house.js";

/** What a learner's file tries when a browser takes it for a page of the control plane. */
const EVIL = `<!doctype html><title>owned</title><script>
document.title = "owned:" + localStorage.length;
fetch("/api/workshops");
</script>`;

/** A seat as a program has it: the token that pages keep to themselves. */
interface Seat {
  readonly token: string;
  readonly gateway: { readonly files: string };
}

describe.skipIf(missing !== "")("a hostile seat", () => {
  const house = new House();
  let page: Page;
  let seat: Seat;

  beforeAll(async () => {
    await house.open();
    const { code } = await house.workshop({ name: "Hostile" });
    page = await (await house.person()).newPage();
    await join(page, code, "Mallory");
    const note = page.getByRole("region", { name: "Your way back" });
    const answer = await fetch(`${url}/api/join`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ code, reconnect_code: await note.locator("code").textContent() }),
    });
    seat = (await answer.json()) as Seat;
    const headers = { authorization: `Bearer ${seat.token}` };
    for (const [name, body] of [
      ["evil.html", EVIL],
      ["sw.js", "self.addEventListener('fetch', () => {})"],
    ]) {
      const put = await fetch(`${seat.gateway.files}/${name}`, {
        method: "PUT",
        headers,
        body: body as string,
      });
      expect(put.status).toBe(201);
    }
  });
  afterAll(() => house.close());

  test("its files are no pages: not by their address, not in a frame, not from a form", async () => {
    const { files } = seat.gateway;
    const other = await page.context().newPage();
    const answer = await other.goto(`${files}/evil.html`);
    expect(answer?.status()).toBe(401);
    expect(await other.title()).toBe("");
    // As the page that one is on could be made to do it.
    await page.evaluate((src) => {
      const frame = document.createElement("iframe");
      frame.src = src;
      document.body.append(frame);
      return new Promise((loaded) => {
        frame.onload = loaded;
      });
    }, `${files}/evil.html`);
    expect(page.frames().some((frame) => frame.url().endsWith("evil.html"))).toBe(true);
    for (const frame of page.frames()) expect(await frame.title()).not.toContain("owned");
    // With the token even: a download, never a page.
    await other.goto("/");
    const [download] = await Promise.all([
      other.waitForEvent("download"),
      other.evaluate(
        ([action, token]) => {
          const form = document.createElement("form");
          form.method = "post";
          form.action = `${action}/download`;
          for (const [name, value] of Object.entries({ token, path: "evil.html" })) {
            const field = document.createElement("input");
            field.name = name;
            field.value = value as string;
            form.append(field);
          }
          document.body.append(form);
          form.submit();
        },
        [files, seat.token],
      ),
    ]);
    expect(download.suggestedFilename()).toBe("evil.html");
    expect(await other.title()).toContain("ClaraTeach");
    await other.close();
  });

  test("it has no service worker on this origin", async () => {
    const refused = await page.evaluate(
      (script) =>
        navigator.serviceWorker.register(script).then(
          () => "registered",
          (error: Error) => error.name,
        ),
      `${seat.gateway.files}/sw.js`,
    );
    expect(refused).not.toBe("registered");
    expect(await page.evaluate(() => navigator.serviceWorker.getRegistrations())).toEqual([]);
  });

  test("what its shell prints is text: no title, no link of another kind, no clipboard", async () => {
    const before = await page.title();
    await type(
      page,
      "clear; printf '\\033]0;owned\\007\\033]52;c;b3duZWQ=\\007\\033]8;;javascript:alert(1)\\007link\\033]8;;\\007 <b>bold</b>\\n'; echo pri''nted\r",
    );
    await shows(page, "printed");
    await shows(page, "<b>bold</b>");
    expect(await page.title()).toBe(before);
    await page.keyboard.press("Control+V");
    await type(page, "echo no''thing\r");
    await shows(page, "nothing");
  });
});
