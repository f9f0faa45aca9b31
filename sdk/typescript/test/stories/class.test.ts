import { inspect } from "node:util";
import { expect, test } from "vitest";
import {
  AuthError,
  ConflictError,
  ExhaustedError,
  InvalidError,
  NotFoundError,
} from "../../src/errors.js";
import type { SeatChange, WorkshopChange } from "../../src/node.js";
import { stories } from "../support/live.js";
import { refused } from "../support/refused.js";

stories("a class", (house) => {
  test("from nothing to a command, a file and the end", async () => {
    const { client } = house;
    const told: string[] = [];
    const workshop = await client.workshops.create({
      name: "Python 101",
      seats: 1,
      runtime: "container",
      ttl: "1h",
      env: { COURSE: "python" },
      instructions: "# Hello",
    });
    await workshop.waitRunning({ onProgress: ({ status }) => told.push(status) });
    expect(told.at(-1)).toBe("running");
    expect(workshop.info).toMatchObject({ status: "running", seats: 1, runtime: "container" });
    expect(workshop.info.envNames).toEqual(["COURSE"]);
    const seat = await client.join(workshop.code.toLowerCase(), { name: "learner one" });
    expect(seat.instructions).toBe("# Hello");
    expect((await seat.run("python3 -V; echo $COURSE")).output).toMatch(/^Python 3.*\npython\n$/);
    await seat.files.write("hello.txt", "hi");
    expect(await seat.files.readText("hello.txt")).toBe("hi");
    await workshop.delete();
    await workshop.waitDeleted();
    expect(workshop.status).toBe("deleted");
    seat.close();
  });

  test("a seat joined while its machine is being made is waited for", async () => {
    const { client } = house;
    const wish = { name: "early", seats: 1, runtime: "container", ttl: "1h" } as const;
    const workshop = await client.workshops.create(wish);
    const seat = await client.join(workshop.code);
    expect((await seat.run("echo here")).stdout).toBe("here\n");
    expect(seat.state).toBe("ready");
    seat.close();
    await workshop.delete();
    // Asked twice, nothing changes.
    await workshop.delete();
  });

  test("who comes too late, or with a wrong code, is told so", async () => {
    const { client } = house;
    const workshop = await house.class(1);
    const seat = await house.learner(workshop);
    await refused(client.join("00000-00000"), NotFoundError, "CODE_UNKNOWN");
    await refused(client.join(""), NotFoundError, "CODE_UNKNOWN");
    await refused(client.join(workshop.code), ExhaustedError, "SEATS_EXHAUSTED");
    // Who was there before has the same seat again.
    const again = await client.join(workshop.code, { reconnectCode: seat.reconnectCode });
    expect(again.number).toBe(seat.number);
    again.close();
    // No printed seat lets somebody else in.
    const shown = inspect(seat, { depth: 12 }) + JSON.stringify(seat);
    expect(shown).not.toContain(seat.reconnectCode);
    expect(shown).not.toContain("eyJ");
  });

  test("instructors see and change their class", async () => {
    const { client } = house;
    const workshop = await house.class(1);
    const seat = await house.learner(workshop);
    expect(await workshop.listSeats()).toMatchObject([
      { seat: 1, state: "ready", taken: true, learner: "learner one" },
    ]);
    await workshop.update({ seats: 2, name: "renamed", ttl: "2h" });
    await workshop.waitRunning();
    expect(workshop.info.seatList).toHaveLength(2);
    expect(workshop.name).toBe("renamed");
    await workshop.update({ seats: 1 });
    const found = [];
    for await (const one of client.workshops.list({ pageSize: 1 })) found.push(one.id);
    expect(found).toContain(workshop.id);
    expect((await client.workshops.get(workshop.id)).info.name).toBe("renamed");
    expect(typeof (await workshop.seatLog(seat.number))).toBe("string");
    const estimate = { seats: 1, runtime: "container", ttl: "1h" } as const;
    const cost = await client.workshops.estimateCost(estimate);
    expect(cost).toMatchObject({ totalUsd: 0, workers: 1 });
    await workshop.stop();
    await workshop.start();
    expect((await workshop.waitRunning()).status).toBe("running");
  });

  test("instructors look at a learner's terminal and at the wall", async () => {
    const workshop = await house.class(1);
    const seat = await house.learner(workshop);
    await using terminal = await seat.terminal();
    await terminal.write("echo st''uck\r");
    await terminal.readUntil("stuck");
    const observer = await workshop.observeSeat(seat.number, "observe");
    await using look = await observer.terminal();
    expect(await look.readUntil("stuck")).toContain("stuck");
    const wall = new AbortController();
    for await (const { seat: number, lines } of workshop.watchPreviews({ signal: wall.signal })) {
      if (lines.includes("stuck")) {
        expect(number).toBe(seat.number);
        break;
      }
    }
    observer.close();
  });

  test("what a learner made is collected, and not changed", async () => {
    const workshop = await house.class(1);
    const seat = await house.learner(workshop);
    await seat.files.write("work.txt", "done");
    await using work = await workshop.collectSeat(seat.number);
    expect(await work.files.readText("work.txt")).toBe("done");
    await refused(work.files.write("work.txt", "undone"), AuthError, "READ_ONLY");
    await workshop.stop();
    expect((await workshop.waitStopped()).status).toBe("stopped");
  });

  test("a wish that cannot be is refused, field by field", async () => {
    const { workshops } = house.client;
    const wish = { name: "", seats: 0, runtime: "container" } as const;
    const error = await refused(workshops.create(wish), InvalidError, "INVALID");
    expect(error.fields.map(({ field }) => field)).toEqual(["name", "seats"]);
    await refused(workshops.create({ ...wish, runtime: "vm" as never }), InvalidError, "INVALID");
    await refused(workshops.get("ws-0000000000"), NotFoundError, "WORKSHOP_UNKNOWN");
    const requestId = `story-${Math.random()}`;
    const first = { name: "one", seats: 1, runtime: "container", requestId } as const;
    const one = await workshops.create(first);
    expect((await workshops.create(first)).id).toBe(one.id);
    const other = workshops.create({ ...first, name: "two" });
    await refused(other, ConflictError, "REQUEST_ID_REUSED");
    await one.delete();
  });

  test("watches tell what happens, to the end", async () => {
    const workshop = await house.class(1);
    const seat = await house.learner(workshop);
    const updates: WorkshopChange[] = [];
    const seats: SeatChange[] = [];
    const watching = Promise.all([
      (async () => {
        for await (const update of workshop.watch()) {
          updates.push(update);
          if (updates.length === 1) await workshop.update({ name: "seen" });
          if (update.workshop?.name === "seen") await workshop.delete();
        }
      })(),
      (async () => {
        for await (const update of seat.watch()) seats.push(update);
      })(),
    ]);
    await watching;
    expect(updates[0]?.workshop?.status).toBe("running");
    expect(updates.some(({ workshop }) => workshop?.name === "seen")).toBe(true);
    expect(updates.at(-1)?.workshop?.status).toBe("deleted");
    expect(seats[0]?.state).toBe("ready");
    expect(seats.at(-1)?.workshopStatus).toBe("deleted");
  });
});
