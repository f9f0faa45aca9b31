import { expect, test } from "vitest";
import { stories } from "../support/live.js";

stories(
  "a token's life",
  (house) => {
    // The script's server gives tokens of a few seconds; a longer life would be waited for in vain.
    const short = process.env.CLARATEACH_SEAT_TOKEN_SECONDS;

    test.skipIf(!short)("a terminal and a watch outlive the tokens that opened them", async () => {
      const workshop = await house.class();
      const seat = await house.learner(workshop);
      const events: string[] = [];
      await using terminal = await seat.terminal("main", {
        onEvent: ({ type }) => events.push(type),
      });
      await terminal.readUntil("$");
      // The seat itself tells when three lives are over.
      await terminal.write(`for n in 1 2 3; do sleep ${short}; echo li''fe $n; done\r`);
      await terminal.readUntil("life 3");
      expect(events).not.toContain("disconnected");
      expect((await seat.run("echo here")).stdout).toBe("here\n");
      for await (const { state } of seat.watch()) {
        expect(state).toBe("ready");
        break;
      }
    });

    test("it is renewed when asked", async () => {
      const seat = await house.learner();
      await Promise.all([seat.refresh(), seat.refresh(), seat.run("true")]);
      expect((await seat.run("echo here")).stdout).toBe("here\n");
    });
  },
  // Each takes three lives.
  ["node, direct", "browser entry"],
);
