import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { type Browser, chromium, type Download, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type * as sdk from "../../src/browser.js";
import { token, url } from "../support/live.js";

declare global {
  var clarateach: typeof sdk;
}

const executablePath = process.env.CLARATEACH_CHROMIUM ?? "/usr/bin/chromium";
const missing = url === "" ? "a live server" : existsSync(executablePath) ? "" : executablePath;
if (missing !== "") console.log(`SKIPPED: stories in Chromium: they need ${missing}`);

describe.skipIf(missing !== "")("a page in Chromium", () => {
  let browser: Browser;
  let page: Page;

  beforeAll(async () => {
    const { outputFiles } = await build({
      entryPoints: [fileURLToPath(new URL("../../src/browser.ts", import.meta.url))],
      bundle: true,
      write: false,
      format: "iife",
      globalName: "clarateach",
      platform: "browser",
    });
    // The machine is a test's own, and its root may not use Chromium's sandbox.
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
    // The control plane's own page, of its own origin, as the web interface is; its policy
    // allows no script but its own.
    page = await browser.newPage({ bypassCSP: true });
    await page.goto(`${url}/`);
    await page.addScriptTag({ content: outputFiles[0]?.text ?? "" });
  });

  afterAll(() => browser?.close());

  test("a class, from nothing to its end", async () => {
    const seen = await page.evaluate(async (token) => {
      const { Client } = clarateach;
      const client = new Client({ token });
      const workshop = await client.workshops.create({
        name: "page",
        seats: 1,
        runtime: "container",
        ttl: "1h",
      });
      await workshop.waitRunning();
      const seat = await client.join(workshop.code, { name: "page" });
      const ran = await seat.run("echo out; exit 3");
      const progress: number[] = [];
      const file = new File([new Uint8Array(2_000_000)], "large ü.bin");
      const up = await seat.files.upload([file], "dropped", {
        onProgress: ({ bytesDone }) => progress.push(bytesDone),
      });
      const down = await seat.files.download("dropped/large ü.bin");
      const stale = await seat.files
        .write("dropped/large ü.bin", "x", { ifMatch: '"old"' })
        .catch((error: sdk.ClarateachError) => [error.name, error.reason]);
      const terminal = await seat.terminal("main", { cols: 100, rows: 30 });
      await terminal.write("stty size; seq 1 50000 | tail -1; exit 5\r");
      let said = "";
      for await (const bytes of terminal) said += new TextDecoder().decode(bytes);
      const full = await client
        .join(workshop.code)
        .catch((error: sdk.ClarateachError) => [error.name, error.reason]);
      const statuses: string[] = [];
      for await (const update of workshop.watch()) {
        statuses.push(update.workshop?.status ?? "");
        if (statuses.length === 1) await workshop.delete();
      }
      seat.close();
      const { exitCode } = terminal;
      return { ran, progress, up, size: down.size, stale, said, exitCode, full, statuses };
    }, token);
    expect(seen.ran).toMatchObject({ stdout: "out\n", exitCode: 3 });
    expect(seen.up).toEqual({ files: 1, bytes: 2_000_000, skipped: [] });
    expect(seen.progress.at(-1)).toBe(2_000_000);
    expect(seen.size).toBe(2_000_000);
    expect(seen.stale).toEqual(["ConflictError", "PRECONDITION_FAILED"]);
    expect(seen.said).toContain("30 100");
    expect(seen.said).toContain("50000");
    expect(seen.exitCode).toBe(5);
    expect(seen.full).toEqual(["ExhaustedError", "SEATS_EXHAUSTED"]);
    expect(seen.statuses.at(0)).toBe("running");
    expect(seen.statuses.at(-1)).toBe("deleted");
  });

  test("the browser itself downloads a file, and a folder as tar", async () => {
    const downloads: Download[] = [];
    const heard = (one: Download) => downloads.push(one);
    page.on("download", heard);
    page.context().on("page", (tab) => tab.on("download", heard));
    const workshop = await page.evaluate(async (token) => {
      const { Client } = clarateach;
      const client = new Client({ token });
      const workshop = await client.workshops.create({
        name: "page",
        seats: 1,
        runtime: "container",
        ttl: "1h",
      });
      const seat = await client.join(workshop.code);
      await seat.files.mkdir("folder");
      await seat.files.write("folder/ü & <b>.txt", "kept");
      const missing = await seat.files.save("none").catch((error) => error.reason);
      const wishes = [["folder/ü & <b>.txt", false] as const, ["folder", true] as const];
      for (const [path, archive] of wishes) {
        const button = document.createElement("button");
        button.textContent = `save ${archive ? "folder" : "file"}`;
        button.onclick = () => seat.files.save(path, { archive });
        document.body.append(button);
      }
      return { id: workshop.id, missing };
    }, token);
    for (const [n, what] of ["file", "folder"].entries()) {
      await page.getByRole("button", { name: `save ${what}` }).click();
      await expect.poll(() => downloads.length, { timeout: 20_000 }).toBe(n + 1);
    }
    const texts = await Promise.all(
      downloads.map(async (one) => readFileSync(await one.path(), "latin1")),
    );
    expect(texts).toContain("kept");
    expect(texts.some((text) => text.includes("ustar"))).toBe(true);
    expect(workshop.missing).toBe("NOT_FOUND");
    await page.evaluate(
      async ([id, token]) => {
        const client = new clarateach.Client({ token: token as string });
        await (await client.workshops.get(id as string)).delete();
      },
      [workshop.id, token],
    );
  });

  test("a wrong token, a seat that is taken away, and a call that is ended", async () => {
    const seen = await page.evaluate(async (token) => {
      const { Client } = clarateach;
      const told = (error: sdk.ClarateachError) => [error.name, error.reason];
      const wrong = await new Client({ token: "wrong" }).workshops.page().catch(told);
      const away = await new Client({ url: "http://127.0.0.1:9", token }).workshops
        .page()
        .catch(told);
      const client = new Client({ token });
      const workshop = await client.workshops.create({
        name: "page",
        seats: 1,
        runtime: "container",
        ttl: "1h",
      });
      await workshop.waitRunning();
      const seat = await client.join(workshop.code);
      const terminal = await seat.terminal();
      await terminal.readUntil("$");
      const stop = new AbortController();
      const ended = seat.run("sleep 1000", { signal: stop.signal }).catch((reason) => reason);
      stop.abort("enough");
      const aborted = await ended;
      await workshop.revokeSeat(seat.number);
      const revoked = await (async () => {
        for await (const _ of terminal);
      })().catch(told);
      await workshop.delete();
      seat.close();
      return { wrong, away, aborted, revoked };
    }, token);
    expect(seen).toEqual({
      wrong: ["AuthError", "TOKEN_INVALID"],
      away: ["UnavailableError", "UNREACHABLE"],
      aborted: "enough",
      revoked: ["AuthError", "SEAT_REVOKED"],
    });
  });
});
