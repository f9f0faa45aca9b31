// Clocks, proxies and restarts: what is no fault of anybody's program.

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import { build } from "esbuild";
import { afterAll, expect, test } from "vitest";
import { ClarateachError, ConnectionLostError, UnavailableError } from "../../src/errors.js";
import { Cable } from "../support/cable.js";
import { stories, token, url } from "../support/live.js";
import { restart, restarts } from "../support/restart.js";

const IDLE_MS = 1_000;
const FAKETIME = "/usr/bin/faketime";

stories(
  "a proxy that cuts what is idle",
  (house) => {
    test("loses nothing of terminals, watches and calls", async () => {
      const cable = await Cable.to(url, IDLE_MS);
      const far = house.connect(token, cable.url);
      const workshop = await house.class();
      const seat = await far.join(workshop.code);
      const events: string[] = [];
      const onEvent = ({ type }: { type: string }) => events.push(type);
      await using terminal = await seat.terminal("main", { onEvent });
      await terminal.write("sleep 3; echo aw''ake\r");
      await terminal.readUntil("awake");
      await terminal.write("echo st''ill\r");
      await terminal.readUntil("still");
      expect(events).toContain("disconnected");
      const near = await house.client.join(workshop.code, { reconnectCode: seat.reconnectCode });
      const names: string[] = [];
      for await (const { workshop: now } of far.workshops.watch(workshop.id)) {
        names.push(now?.name ?? "");
        if (now?.name === "heard") break;
        if (names.length > 1) continue;
        // As long as the seat sleeps the watch is idle.
        await near.run("sleep 2");
        await workshop.update({ name: "heard" });
      }
      near.close();
      // A command is not run twice, so this one is told.
      const error = await seat.run("sleep 5").catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(ClarateachError);
      const lost = error instanceof ConnectionLostError || error instanceof UnavailableError;
      expect(lost).toBe(true);
      seat.close();
      cable.close();
    });
  },
  ["node, gateway", "browser entry"],
);

stories("a server that restarts", (house) => {
  test.skipIf(!restarts)("interrupts no terminal and no watch", async () => {
    const workshop = await house.class();
    const seat = await house.learner(workshop);
    await using terminal = await seat.terminal();
    await terminal.readUntil("$");
    const names: string[] = [];
    for await (const { workshop: now } of workshop.watch()) {
      names.push(now?.name ?? "");
      if (now?.name === "after the restart") break;
      if (names.length > 1) continue;
      await restart();
      await workshop.update({ name: "after the restart" });
    }
    await terminal.write("echo he''re\r");
    await terminal.readUntil("here");
    expect((await seat.run("echo run")).stdout).toBe("run\n");
  });
});

stories(
  "a clock that is off by an hour",
  (house) => {
    const folder = new URL("../../node_modules/.clarateach-skewed/", import.meta.url);
    afterAll(() => rm(folder, { recursive: true, force: true }));

    test.skipIf(!existsSync(FAKETIME)).each(["-1h", "+1h"])("does not matter: %s", async (off) => {
      const { code } = await house.class();
      await mkdir(folder, { recursive: true });
      await build({
        entryPoints: [new URL("../../src/node.ts", import.meta.url).pathname],
        outfile: new URL("sdk.mjs", folder).pathname,
        bundle: true,
        packages: "external",
        platform: "node",
        format: "esm",
      });
      const program = new URL("program.mjs", folder);
      await writeFile(
        program,
        `import { Client } from "./sdk.mjs";
        const client = new Client({ url: process.argv[2], route: "direct" });
        const seat = await client.join(process.argv[3]);
        await seat.refresh();
        const terminal = await seat.terminal();
        await terminal.write("echo th''ere\\r");
        await terminal.readUntil("there");
        await terminal.close();
        console.log((await seat.run("echo here")).stdout);
        seat.close();
        client.close();`,
      );
      const given = ["-f", off, process.execPath, program.pathname, url, code];
      const { stdout } = await promisify(execFile)(FAKETIME, given, { timeout: 60_000 });
      expect(stdout.trim()).toBe("here");
    });
  },
  ["node, direct"],
);
