import { expect, test } from "vitest";
import { stories } from "../support/live.js";

/** Moments at which a call is ended, in turns of the event loop. */
const MOMENTS = [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89];

stories("whatever is under way", (house) => {
  test("ends with its signal's own reason, at any moment", async () => {
    const workshop = await house.class();
    const seat = await house.learner(workshop);
    await seat.files.write("file", new Uint8Array(300_000));
    const acts: Record<string, (signal: AbortSignal) => Promise<unknown>> = {
      get: (signal) => house.client.workshops.get(workshop.id, { signal }),
      page: (signal) => house.client.workshops.page("", { signal }),
      join: (signal) =>
        house.client
          .join(workshop.code, { reconnectCode: seat.reconnectCode, signal })
          .then((s) => s.close()),
      watch: async (signal) => {
        for await (const _ of workshop.watch({ signal }));
      },
      wait: (signal) => workshop.waitDeleted({ signal }),
      watchSeat: async (signal) => {
        for await (const _ of seat.watch({ signal }));
      },
      run: (signal) => seat.run("sleep 1000", { signal }),
      read: (signal) => seat.files.read("file", { signal }),
      write: (signal) => seat.files.write("file", new Uint8Array(300_000), { signal }),
      list: (signal) => seat.files.list("", { signal }),
      refresh: (signal) => seat.refresh({ signal }),
      terminal: async (signal) => {
        const terminal = await seat.terminal("main", { signal });
        for await (const _ of terminal);
      },
    };
    for (const [name, act] of Object.entries(acts)) {
      for (const moment of MOMENTS) {
        const stop = new AbortController();
        const reason = new Error(`${name} ${moment}`);
        if (moment === 0) stop.abort(reason);
        const acting = act(stop.signal).then(
          () => "done",
          (thrown) => thrown,
        );
        for (let turn = 0; turn < moment; turn += 1) await new Promise(setImmediate);
        stop.abort(reason);
        const ended = await acting;
        if (ended !== "done") expect(ended).toBe(reason);
      }
    }
    // Nothing of it hurt the seat.
    expect((await seat.run("echo well")).stdout).toBe("well\n");
    await expect
      .poll(async () => (await seat.run("pgrep -x sleep")).stdout, { timeout: 30_000 })
      .toBe("");
  });

  test("a call that is given too little time says so", async () => {
    const workshop = await house.class();
    const late = workshop.waitDeleted({ timeoutMs: 1 });
    await expect(late).rejects.toMatchObject({ name: "DeadlineError", reason: "DEADLINE" });
  });
});
