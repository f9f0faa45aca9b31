// Straight to a worker that has a certificate for browsers, and through the gateway where
// the network does not let its name through.

import { createHash, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { text } from "node:stream/consumers";
import type { Workshop } from "@clarateach/sdk";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { House, join, missing, shows, type, url, workers } from "./support/house.js";

const ca = process.env.CLARATEACH_WORKERS_CA ?? "";
const certificate = process.env.CLARATEACH_WORKERS_CERT ?? "";
const lacks = missing || (ca === "" ? "a certificate for workers" : "");

/** Where a page's terminals and files go, noted from now on. */
function hosts(page: Page): Set<string> {
  const seen = new Set<string>();
  const note = (at: string): void => {
    if (at.includes("/proxy/")) seen.add(new URL(at).host);
  };
  page.on("websocket", (socket) => note(socket.url()));
  page.on("response", (answer) => {
    // The question whether a worker is there is answered with a refusal.
    if (answer.ok()) note(answer.url());
  });
  return seen;
}

describe.skipIf(lacks !== "")("browsers and workers", () => {
  const house = new House();
  let workshop: Workshop;
  let host = "";
  let address = "";

  beforeAll(async () => {
    workshop = await house.workshop({ name: "Direct", seats: 4 });
    await workshop.waitRunning();
    address = workshop.info.workers[0]?.address ?? "";
    const [ip = "", port = ""] = address.split(":");
    host = `${ip.replaceAll(".", "-")}.${workers}:${port}`;
    const { publicKey } = new X509Certificate(readFileSync(certificate));
    const spki = publicKey.export({ type: "spki", format: "der" });
    const known = createHash("sha256").update(spki).digest("base64");
    await house.open([
      `--host-resolver-rules=MAP ${host.split(":")[0]} ${ip}`,
      `--ignore-certificate-errors-spki-list=${known}`,
    ]);
  });
  afterAll(async () => {
    expect(house.complaints()).toEqual([]);
    await house.close();
  });

  test("terminal, files, uploads and downloads go straight to the worker", async () => {
    const person = await house.person();
    const page = await person.newPage();
    const seen = hosts(page);
    await join(page, workshop.code, "Ada");
    await type(page, "echo one > a.txt; echo stra''ight\r");
    await shows(page, "straight");
    await page.getByLabel("Files to upload").setInputFiles({
      name: "b.bin",
      mimeType: "application/octet-stream",
      buffer: Buffer.alloc(300_000, "b"),
    });
    await page.getByRole("treeitem", { name: "b.bin" }).waitFor();
    // Both at once: neither ends the other.
    const downloads: string[] = [];
    page.on("download", (download) => downloads.push(new URL(download.url()).host));
    for (const name of ["a.txt", "b.bin"]) {
      await page.getByRole("treeitem", { name }).click();
      await page.getByRole("button", { name: "Download", exact: true }).click();
    }
    await expect.poll(() => downloads).toEqual([host, host]);
    expect([...seen]).toEqual([host]);
    await person.close();
  });

  test("an instructor looks and helps the same way", async () => {
    const learner = await house.person();
    const page = await learner.newPage();
    await join(page, workshop.code, "Grace");
    await type(page, "echo loo''ked-at\r");
    const observer = await workshop.observeSeat(2, "observe");
    observer.close();
    const desk = await (await house.person()).newPage();
    const seen = hosts(desk);
    await house.signIn(desk);
    await desk.goto(`/console/${workshop.id}`);
    await desk.locator('[data-seat="2"] button').click();
    await desk.getByRole("button", { name: "Look at the terminal" }).click();
    await desk.locator('[data-look="live"]').getByText("looked-at", { exact: true }).waitFor();
    expect([...seen]).toEqual([host]);
    await learner.close();
    await desk.context().close();
  });

  test("where its name leads nowhere, the same page goes through the gateway", async () => {
    const elsewhere = new House();
    await elsewhere.open();
    const page = await (await elsewhere.person()).newPage();
    const seen = hosts(page);
    await join(page, workshop.code, "Behind a proxy");
    await type(page, "echo thro''ugh\r");
    await shows(page, "through");
    expect([...seen]).toEqual([new URL(url).host]);
    expect(elsewhere.complaints()).toEqual([]);
    await elsewhere.close();
  });

  test("and so does a page of an address that workers were not told", async () => {
    const baseURL = url.replace("127.0.0.1", "localhost");
    const person = await house.person({ baseURL });
    const page = await person.newPage();
    const seen = hosts(page);
    await join(page, workshop.code, "Elsewhere");
    await type(page, "echo as-we''ll\r");
    await shows(page, "as-well");
    expect([...seen]).toEqual([new URL(baseURL).host]);
    await person.close();
  });

  test("the worker's certificate is right for its name, and pages of others are refused", async () => {
    const [servername = "", port = ""] = host.split(":");
    const ask = (headers: Record<string, string>, method = "GET") =>
      new Promise<{ status: number; allowed: string; body: string }>((resolve, reject) => {
        const options = {
          host: address.split(":")[0],
          port,
          path: `/proxy/${workshop.id}/1/terminal`,
          method,
          headers: { host, ...headers },
          servername,
          ca: readFileSync(ca),
          agent: false,
        } as const;
        const sent = request(options, async (answer) => {
          const allowed = answer.headers["access-control-allow-origin"] ?? "";
          resolve({ status: answer.statusCode ?? 0, allowed, body: await text(answer) });
        });
        sent.on("error", reject);
        sent.end();
      });
    const upgrade = {
      connection: "upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": Buffer.alloc(16).toString("base64"),
    };
    const foreign = await ask({ ...upgrade, origin: "https://evil.example" });
    expect(foreign.status).toBe(403);
    expect(foreign.body).toContain("ORIGIN_FOREIGN");
    // Ours comes further: it lacks a token alone.
    const own = await ask({ ...upgrade, origin: url });
    expect([own.status, own.allowed]).toEqual([401, url]);
    const preflight = { "access-control-request-method": "PUT" };
    const refused = await ask({ ...preflight, origin: "https://evil.example" }, "OPTIONS");
    expect([refused.status, refused.allowed]).toEqual([403, ""]);
    const welcome = await ask({ ...preflight, origin: url }, "OPTIONS");
    expect([welcome.status, welcome.allowed]).toEqual([204, url]);
  });
});
