import { expect, test } from "vitest";
import { AuthError, ConflictError, InvalidError, NotFoundError } from "../../src/errors.js";
import type { Terminal, TerminalEvent } from "../../src/node.js";
import { stories } from "../support/live.js";
import { refused } from "../support/refused.js";

stories("terminals", (house, way) => {
  let workshop: Awaited<ReturnType<typeof house.class>>;
  let seat: Awaited<ReturnType<typeof house.learner>>;

  test("a shell answers, has the size that was asked for, and ends", async () => {
    workshop = await house.class(2);
    seat = await house.learner(workshop);
    const events: TerminalEvent[] = [];
    const terminal = await seat.terminal("main", {
      cols: 100,
      rows: 30,
      onEvent: (event) => events.push(event),
    });
    await terminal.write("stty size; echo do''ne\r");
    expect(await terminal.readUntil("done")).toContain("30 100");
    expect(terminal.live).toBe(true);
    terminal.resize(90, 20);
    await terminal.write("stty size; echo on''ce more\r");
    expect(await terminal.readUntil("once more")).toContain("20 90");
    await terminal.write("exit 7\r");
    for await (const _ of terminal);
    expect(terminal.exitCode).toBe(7);
    expect(events.map(({ type }) => type)).toEqual([
      "attached",
      "repaint",
      "live",
      "resized",
      "exit",
    ]);
    await refused(terminal.write("x"), ConflictError, "SHELL_ENDED");
    expect(await terminal.read()).toBeUndefined();
    await terminal.close();
  });

  test("the shell outlives the handle, which goes on where it was", async () => {
    const first = await seat.terminal("work");
    await first.write("X=kept; echo re''ady\r");
    await first.readUntil("ready");
    const { offset, instance } = first;
    await first.close();
    await refused(first.write("x"), ConflictError, "CLOSED");
    expect(await first.read()).toBeUndefined();
    const other = await seat.terminal("work");
    await other.write("echo wh''ile away\r");
    await other.readUntil("while away");
    await other.close();
    const events: string[] = [];
    const again = await seat.terminal("work", {
      ...(offset !== undefined && { offset, instance }),
      onEvent: ({ type }) => events.push(type),
    });
    await again.write("echo $X-so\r");
    const said = await again.readUntil("kept-so");
    // What was missed comes as it was said, and not as a painting.
    expect(said).toContain("while away");
    expect(events).not.toContain("repaint");
    await again.close();
  });

  test("a flood stops at once for Ctrl-C, and for a reader who goes", async () => {
    await using terminal = await seat.terminal("flood");
    await terminal.write("yes 0123456789012345678901234567890123456789\r");
    let seen = 0;
    while (seen < 8 << 20) seen += (await terminal.read())?.length ?? 0;
    await terminal.write("\x03");
    await terminal.write("echo qu''iet\r");
    await terminal.readUntil("quiet");
  });

  test("one place reads, and what cannot be is refused", async () => {
    const terminal = await seat.terminal("busy");
    await terminal.readUntil("$");
    const waiting = terminal.read();
    await refused(terminal.read(), ConflictError, "TERMINAL_BUSY");
    await terminal.close();
    expect(await waiting).toBeUndefined();
    await refused(seat.terminal("No!"), InvalidError, "BAD_TERMINAL");
    await refused(seat.terminal("main", { cols: 80 }), InvalidError, "BAD_SIZE");
    await refused(seat.terminal("main", { cols: 1, rows: 1 }), InvalidError, "BAD_SIZE");
    const open: Terminal[] = [];
    const many = async () => {
      for (let n = 0; n < 9; n += 1) open.push(await seat.terminal(`many-${n}`));
    };
    // A page is not told why a WebSocket was refused.
    const reason = way === "browser entry" ? "TERMINAL_REFUSED" : "TOO_MANY_TERMINALS";
    await refused(many(), ConflictError, reason);
    for (const one of open) {
      await one.write("exit\r");
      for await (const _ of one);
    }
  });

  test("much input and every byte arrive", async () => {
    await using terminal = await seat.terminal("input");
    await terminal.write("stty raw -echo; echo be''gin; head -c 300000 | sha256sum; stty sane\r");
    // Not before the terminal is raw: it would take some bytes for keys.
    await terminal.readUntil("begin");
    const bytes = Uint8Array.from({ length: 300_000 }, (_, n) => (n * 7) % 256);
    await terminal.write(bytes);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    await terminal.readUntil(hex);
  });

  test("a seat that is reset comes back by itself, as another machine", async () => {
    await seat.files.write("old.txt", "old");
    const events: TerminalEvent[] = [];
    await using terminal = await seat.terminal("main", { onEvent: (event) => events.push(event) });
    await terminal.readUntil("$");
    await workshop.resetSeat(seat.number);
    const reading = (async () => {
      for await (const _ of terminal) if (events.some(({ type }) => type === "restarted")) return;
    })();
    await reading;
    expect(events).toContainEqual(expect.objectContaining({ type: "disconnected", code: 4409 }));
    await terminal.write("echo fr''esh\r");
    await terminal.readUntil("fresh");
    expect(await seat.files.exists("old.txt")).toBe(false);
    expect((await seat.run("echo back")).stdout).toBe("back\n");
  });

  test("a seat that is taken away ends all there is", async () => {
    const mine = await house.learner(workshop);
    const terminal = await mine.terminal();
    await terminal.readUntil("$");
    await workshop.revokeSeat(mine.number);
    const reading = (async () => {
      for await (const _ of terminal);
    })();
    await refused(reading, AuthError, "SEAT_REVOKED");
    await refused(terminal.write("x"), AuthError, "SEAT_REVOKED");
    await refused(mine.run("true"), AuthError, "SEAT_REVOKED");
    await refused(
      (async () => {
        for await (const _ of mine.watch());
      })(),
      AuthError,
      "SEAT_REVOKED",
    );
  });

  test("a workshop that ends, ends its terminals", async () => {
    const terminal = await seat.terminal();
    await terminal.readUntil("$");
    await workshop.delete();
    const reading = (async () => {
      for await (const _ of terminal);
    })();
    await refused(reading, NotFoundError, "WORKSHOP_OVER");
  });
});
