import { expect, test } from "vitest";
import { CommandFailedError, InvalidError } from "../../src/errors.js";
import { stories } from "../support/live.js";
import { refused } from "../support/refused.js";

stories("commands", (house) => {
  let seat: Awaited<ReturnType<typeof house.learner>>;

  test("output, errors and codes come back", async () => {
    seat = await house.learner();
    const ran = await seat.run("echo out; echo err >&2; exit 3");
    expect(ran).toMatchObject({
      stdout: "out\n",
      stderr: "err\n",
      exitCode: 3,
      signal: undefined,
      timedOut: false,
    });
    expect(ran.output).toHaveLength(8);
    const argv = await seat.run(["printf", "%s|", "a b", "$HOME"]);
    expect(argv.stdout).toBe("a b|$HOME|");
  });

  test("input, environment and folder are given", async () => {
    await seat.files.mkdir("below");
    const ran = await seat.run("cat; echo $A; pwd", {
      stdin: "in\n",
      env: { A: "ä" },
      cwd: "below",
    });
    expect(ran.stdout).toBe("in\nä\n/home/learner/workspace/below\n");
    const bytes = Uint8Array.from({ length: 100_000 }, (_, n) => n % 251);
    expect((await seat.run("sha256sum", { stdin: bytes })).stdout).toMatch(/^[0-9a-f]{64}/);
  });

  test("much output streams, in order", async () => {
    let seen = 0;
    const ran = await seat.run("seq 1 100000", { onOutput: ({ data }) => (seen += data.length) });
    expect(ran.stdout.trimEnd().split("\n")).toHaveLength(100_000);
    expect(seen).toBe(ran.stdout.length);
    const running = await seat.start("echo one; read line; echo two", { stdin: "go\n" });
    let said = "";
    for await (const { stream, data } of running) said += stream + new TextDecoder().decode(data);
    expect(said.replaceAll("stdout", "")).toBe("one\ntwo\n");
    expect((await running.wait()).exitCode).toBe(0);
  });

  test("it ends by time, by kill and by signal, with all it started", async () => {
    expect(await seat.run("sleep 1000", { timeout: "1s" })).toMatchObject({
      exitCode: null,
      signal: "SIGKILL",
      timedOut: true,
    });
    const running = await seat.start("echo $$; sleep 1001");
    for await (const { data } of running) {
      expect(new TextDecoder().decode(data)).toMatch(/^\d+\n$/);
      running.kill();
    }
    expect(await running.wait()).toMatchObject({ exitCode: null, signal: "SIGKILL" });
    const stop = new AbortController();
    const aborted = seat.run("echo; sleep 1002", {
      signal: stop.signal,
      onOutput: () => stop.abort(new Error("enough")),
    });
    await expect(aborted).rejects.toThrow("enough");
    await expect
      .poll(async () => (await seat.run("pgrep -x sleep")).stdout, { timeout: 30_000 })
      .toBe("");
  });

  test("a code that matters is an error when asked for", async () => {
    const failing = seat.run("echo why >&2; exit 4", { check: true });
    const error = (await refused(failing, CommandFailedError, "COMMAND")) as CommandFailedError;
    expect(error.result.exitCode).toBe(4);
    expect(error.message).toContain("why");
    await refused(seat.run(""), InvalidError, "INVALID");
    await refused(seat.run("true", { env: { "A=B": "" } }), InvalidError, "BAD_COMMAND");
    await refused(seat.run(["no-such-program"]), InvalidError, "NOT_STARTED");
  });
});
