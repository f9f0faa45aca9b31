// A large file up and down again: streamed all the way, so that nobody's memory grows with it.
// 64 MiB here; CLARATEACH_LARGE_MIB=2048 is what it was made for.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, open, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join as pathOf } from "node:path";
import { pipeline } from "node:stream/promises";
import type { CDPSession } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { House, join, missing, shows, type } from "./support/house.js";
import { peaks } from "./support/worker.js";

const MIB = 1024 * 1024;
const SIZE_MIB = Number(process.env.CLARATEACH_LARGE_MIB ?? "64");
/** More than this nobody's memory may grow, in MiB, however large the file. */
const GROWS_MIB = 48;

async function sum(file: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file), hash);
  return hash.digest("hex");
}

/** Scripts' memory of a page, in MiB. */
async function heap(session: CDPSession): Promise<number> {
  const { metrics } = await session.send("Performance.getMetrics");
  return (metrics.find(({ name }) => name === "JSHeapUsedSize")?.value ?? 0) / MIB;
}

describe.skipIf(missing !== "")(`a file of ${SIZE_MIB} MiB`, () => {
  const house = new House();
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(pathOf(tmpdir(), "clarateach-large-"));
    await house.open();
  });
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
    expect(house.complaints()).toEqual([]);
    await house.close();
  });

  test("goes up and comes down whole, through a memory that stays small", async () => {
    // Sparse, but for words at its start, its middle and its end.
    const file = pathOf(folder, "large.bin");
    const made = await open(file, "w");
    for (const at of [0, SIZE_MIB / 2, SIZE_MIB - 1]) await made.write(`at ${at}`, at * MIB);
    await made.truncate(SIZE_MIB * MIB);
    await made.close();

    const resources = { diskMib: SIZE_MIB * 2 + 512 };
    const workshop = await house.workshop({ name: "Large", resources });
    const context = await house.person({ acceptDownloads: true });
    const page = await context.newPage();
    await join(page, workshop.code, "Ada");
    await workshop.waitRunning();
    const session = await context.newCDPSession(page);
    await session.send("Performance.enable");
    const before = { ...peaks(workshop), page: await heap(session) };

    await page.getByLabel("Files to upload").setInputFiles(file);
    const line = page.getByRole("treeitem", { name: "large.bin" });
    let page_peak = 0;
    const looking = setInterval(async () => {
      page_peak = Math.max(page_peak, await heap(session).catch(() => 0));
    }, 200);
    await line.waitFor({ timeout: 600_000 });
    await type(page, "clear; stat -c 'size=%s' large.bin\r");
    await shows(page, `size=${SIZE_MIB * MIB}`);

    await line.click();
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Download", exact: true }).click(),
    ]);
    const saved = await download.path();
    clearInterval(looking);
    expect((await stat(saved)).size).toBe(SIZE_MIB * MIB);
    expect(await sum(saved)).toBe(await sum(file));
    await download.delete();

    const after = peaks(workshop);
    const grown = {
      server: after.server - before.server,
      agent: after.agent - before.agent,
      page: page_peak - before.page,
    };
    console.log(`memory grew by MiB: ${JSON.stringify(grown)}`);
    for (const [who, by] of Object.entries(grown)) expect(by, who).toBeLessThan(GROWS_MIB);
    await context.close();
  }, 1_200_000);
});
