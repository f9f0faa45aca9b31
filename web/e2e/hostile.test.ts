import { request as plainly } from "node:http";
import { request as safely } from "node:https";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import type { Page, Route } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { House, join, missing, shows, type, url, wayBack } from "./support/house.js";

/** What a learner's file tries when a browser takes it for a page of the control plane. */
const EVIL = `<!doctype html><title>a page</title><script>
document.title = "owned";
fetch("/api/workshops?owned");
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
  /** Of its worker. */
  let address = "";

  beforeAll(async () => {
    await house.open();
    const workshop = await house.workshop({ name: "Hostile" });
    const { code } = workshop;
    // Whatever wants to reach the clipboard may: only the page itself is in its way.
    const permissions = ["clipboard-read", "clipboard-write"];
    page = await (await house.person({ permissions })).newPage();
    await join(page, code, "Mallory");
    const answer = await fetch(`${url}/api/join`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ code, reconnect_code: await wayBack(page) }),
    });
    seat = (await answer.json()) as Seat;
    address = (await workshop.waitRunning()).info.workers[0]?.address ?? "";
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
    const evil = `${files}/evil.html`;
    const context = page.context();
    const done: string[] = [];
    context.on("request", (request) => {
      if (request.url().endsWith("?owned")) done.push(request.url());
    });
    const other = await context.newPage();
    // Without what the gateway adds it does its harm: what follows can fail.
    await other.route("**/bare.html", (route) =>
      route.fulfill({ contentType: "text/html", body: EVIL }),
    );
    await other.goto("/bare.html");
    await expect.poll(() => done.length).toBe(1);
    expect(await other.title()).toBe("owned");
    done.length = 0;
    expect((await other.goto(evil))?.status()).toBe(401);

    // As the page gets it, which has the token.
    const got = await page.evaluate(
      async ([address, token]) => {
        const headers = { authorization: `Bearer ${token}` };
        const answer = await fetch(address as string, { headers });
        const blob = await answer.blob();
        const frame = document.createElement("iframe");
        frame.src = URL.createObjectURL(new Blob([blob], { type: "text/html" }));
        const loaded = new Promise((resolve) => {
          frame.onload = resolve;
        });
        document.body.append(frame);
        await loaded;
        return { status: answer.status, text: await blob.text(), headers: [...answer.headers] };
      },
      [evil, seat.token],
    );
    expect(got.status).toBe(200);
    expect(got.text).toBe(EVIL);
    const headers = Object.fromEntries(got.headers);
    expect(headers["content-security-policy"]).toMatch(/^sandbox;/);
    expect(headers["x-content-type-options"]).toBe("nosniff");
    expect(headers["x-frame-options"]).toBe("DENY");

    // As if a browser sent the token by itself, as it would a cookie: the real answer, navigated to.
    const withToken = (route: Route): Promise<void> => {
      const sent = { ...route.request().headers(), authorization: `Bearer ${seat.token}` };
      return route.continue({ headers: sent });
    };
    for (const one of [page, other]) await one.route(evil, withToken);
    const answer = await other.goto(evil);
    expect(answer?.status()).toBe(200);
    expect(answer?.headers()["content-type"]).toContain("text/html");
    expect(await other.title()).toBe("a page");
    const [framed] = await Promise.all([
      page.waitForResponse(evil),
      page.evaluate((src) => {
        const frame = document.createElement("iframe");
        frame.src = src;
        document.body.append(frame);
        return new Promise((loaded) => {
          frame.onload = loaded;
        });
      }, evil),
    ]);
    expect(framed.status()).toBe(200);
    expect(page.frames().length).toBe(3);
    for (const frame of page.frames().slice(1))
      expect(await frame.title()).not.toMatch(/owned|a page/);
    for (const one of [page, other]) await one.unroute(evil);
    // From a form, with the token in it: a download, never a page.
    await other.goto("/");
    const posted = other.waitForResponse(`${files}/download`);
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
    const sent = (await posted).headers();
    expect(sent["content-disposition"]).toMatch(/^attachment;/);
    expect(sent["content-security-policy"]).toMatch(/^sandbox;/);
    expect(sent["x-content-type-options"]).toBe("nosniff");
    expect(download.suggestedFilename()).toBe("evil.html");
    expect(await other.title()).toContain("ClaraTeach");
    expect(done).toEqual([]);
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

  test("what it serves on a port of its own has no address for a browser", async () => {
    await page.bringToFront();
    await type(page, "clear; python3 -m http.server 8000 > /dev/null 2>&1 &\r");
    const look =
      "python3 -c 'from urllib.request import *; print(urlopen(\"http://127.0.0.1:8000/evil.html\").read(9))'";
    await type(page, `clear; until ${look}; do sleep 0.2; done 2> /dev/null\r`);
    await shows(page, "<!doctype");
    const seatAt = seat.gateway.files.replace(/\/files$/, "");
    const worker = `https://${address}`;
    const path = new URL(seatAt).pathname;
    for (const at of [seatAt, worker + path]) {
      for (const tail of [
        ...["/8000/evil.html", ":8000/evil.html", "/port/8000/evil.html", "/ports/8000/evil.html"],
        ...["/proxy/8000/evil.html", "/http/8000/evil.html", "/terminal/8000/evil.html"],
        ...["/exec/8000/evil.html", "/files:8000/evil.html", "/files@8000/evil.html"],
        ...[
          "/files/../8000/evil.html",
          "/files/%2e%2e/8000/evil.html",
          "/files//127.0.0.1:8000/evil.html",
        ],
        ...["/files/http://127.0.0.1:8000/evil.html", "/?port=8000", "?port=8000"],
      ]) {
        const { status, body } = await ask(at, tail, { authorization: `Bearer ${seat.token}` });
        expect([status, body.includes("owned")], at + tail).toEqual([expect.any(Number), false]);
        expect(status, at + tail).toBeGreaterThanOrEqual(400);
      }
    }
    // Nor is there another way to name it: as a host, by a proxy's form, or at the worker itself.
    for (const host of ["8000.seat-1.localhost", "seat-1:8000", "192.168.100.11:8000"]) {
      const { status, body } = await ask(seatAt, "/evil.html", { host });
      expect([status >= 400, body.includes("owned")], host).toEqual([true, false]);
    }
    const ip = address.split(":")[0] ?? "";
    await expect(reaches(ip, 8000)).resolves.toBe(false);
    await expect(reaches(ip, Number(address.split(":")[1]))).resolves.toBe(true);
    // And a page may not even try: it speaks to this origin and to workers alone.
    const tried = await page.evaluate(
      (to) =>
        fetch(to, { mode: "no-cors" }).then(
          () => "reached",
          (error: Error) => error.name,
        ),
      `http://${ip}:8000/evil.html`,
    );
    expect(tried).toBe("TypeError");
  });

  test("what its shell prints is text: no title, no link of another kind, no clipboard", async () => {
    await page.bringToFront();
    const before = await page.title();
    await page.evaluate(() => navigator.clipboard.writeText("the learner's"));
    const link = (to: string, text: string) => `\\033]8;;${to}\\007${text}\\033]8;;\\007`;
    const printed = [
      "\\033]0;owned\\007\\033]52;c;b3duZWQ=\\007\\033]52;;b3duZWQ=\\007",
      link("https://example.org/", "good-link"),
      link("javascript:alert(1)", "evil-link"),
      "javascript:alert(2)",
      "<b>bold</b>",
    ];
    await type(page, `clear; printf '${printed.join("\\n")}\\n'; echo pri''nted\r`);
    await shows(page, /^printed/m);
    await shows(page, "<b>bold</b>");
    expect(await page.title()).toBe(before);
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe("the learner's");

    const asked: string[] = [];
    page.on("dialog", (dialog) => {
      asked.push(dialog.message());
      void dialog.dismiss();
    });
    const pages = page.context().pages().length;
    await click(page, "evil-link");
    await click(page, "javascript:alert(2)");
    // A link that is one asks first: the clicks do arrive.
    await click(page, "good-link");
    await expect.poll(() => asked.length).toBe(1);
    expect(asked[0]).toContain("https://example.org/");
    expect(page.context().pages().length).toBe(pages);
    expect(await page.title()).toBe(before);
  });
});

/** Clicks on what the terminal in front shows, as a hand does: there first, and then down. */
async function click(page: Page, text: string): Promise<void> {
  const place = await page.evaluate((wanted) => {
    for (const row of document.querySelectorAll(".pane:not([hidden]) .xterm-rows > div")) {
      if (!row.textContent?.startsWith(wanted)) continue;
      const { left, top, height } = row.getBoundingClientRect();
      return { x: left + 20, y: top + height / 2 };
    }
    return undefined;
  }, text);
  if (!place) throw new Error(`${text} is not shown`);
  await page.mouse.move(place.x + 10, place.y);
  await page.mouse.move(place.x, place.y);
  // Links are looked for when the pointer has come.
  await page.waitForTimeout(300);
  await page.mouse.down();
  await page.mouse.up();
}

/** Asks as no browser would, every path as it is written. */
function ask(
  at: string,
  tail: string,
  headers: Record<string, string>,
): Promise<{ status: number; body: string }> {
  const { protocol, hostname, port, pathname } = new URL(at);
  const request = protocol === "https:" ? safely : plainly;
  return new Promise((resolve, reject) => {
    const options = { hostname, port, path: pathname + tail, headers, rejectUnauthorized: false };
    const sent = request({ ...options, agent: false }, async (answer) => {
      resolve({ status: answer.statusCode ?? 0, body: await text(answer) });
    });
    sent.on("error", reject);
    sent.end();
  });
}

/** Whether something listens there; what says nothing for a while does not. */
function reaches(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 2_000 });
    const say = (is: boolean) => () => {
      socket.destroy();
      resolve(is);
    };
    socket.once("connect", say(true)).once("error", say(false)).once("timeout", say(false));
  });
}
