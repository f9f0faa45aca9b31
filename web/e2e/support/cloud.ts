// A control plane of a story's own, in the cloud: Google is the strict fake, and behind its
// VMs are real agents and seats.

import { type ChildProcess, spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import { expect, vi } from "vitest";
import type { Plane } from "./house.js";

const bin = process.env.CLARATEACH_BIN ?? "";
/** Rust's stories with VMs have the same addresses: one of all at a time. */
const ALONE = "/run/lock/clarateach-e2e";
/** From Google's notice to the end of a VM, in seconds: its own half minute would be waited for. */
const NOTICE = 4;

/** What the cloud lacks; empty for nothing. */
export const missing: string =
  bin === ""
    ? "CLARATEACH_BIN"
    : existsSync(join(bin, "fake-google"))
      ? ""
      : "fake-google in CLARATEACH_BIN";

/** Google, as a story has it. */
export class Cloud implements Plane {
  private constructor(
    readonly url: string,
    readonly token: string,
    private readonly folder: string,
    private readonly google: ChildProcess,
    private readonly answers: Interface,
    private readonly server: ChildProcess,
  ) {}

  static async start(): Promise<Cloud> {
    const folder = mkdtempSync("/var/tmp/clarateach-cloud-");
    mkdirSync(join(folder, "vms"));
    // It ends with its input, and so with this process, whatever becomes of it.
    const google = spawn(
      "flock",
      [ALONE, join(bin, "fake-google"), join(folder, "vms"), `${NOTICE}`],
      { stdio: ["pipe", "pipe", "inherit"] },
    );
    if (!google.stdout) throw new Error("it was asked for its output");
    const answers = createInterface(google.stdout);
    const endpoint = await line(answers);
    const url = `http://127.0.0.1:${await freePort()}`;
    const data = join(folder, "data");
    const log = openSync(join(folder, "server.log"), "w");
    const server = spawn(
      "setpriv",
      [
        ...["--pdeathsig", "TERM", join(bin, "clarateach-server"), "serve"],
        ...["--data-dir", data, "--listen", url.replace("http://", "")],
        ...["--provisioner", "gcp", "--gcp-project", "clarateach-test"],
        ...["--gcp-endpoint", endpoint, "--gcp-preemption-notice", "1"],
        ...["--gcp-service-account", "worker@clarateach-test.iam.gserviceaccount.com"],
      ],
      { stdio: ["ignore", log, log] },
    );
    closeSync(log);
    const healthy = async () => expect((await fetch(`${url}/api/health`)).ok).toBe(true);
    await vi.waitFor(healthy, { timeout: 30_000, interval: 100 });
    const token = readFileSync(join(data, "admin.token"), "utf8").trim();
    return new Cloud(url, token, folder, google, answers, server);
  }

  /** Google takes all VMs away, after it said so. */
  async preempt(): Promise<void> {
    this.google.stdin?.write("preempt\n");
    await line(this.answers);
  }

  /** Ends all of it. */
  async close(): Promise<void> {
    await ended(this.server, () => this.server.kill("SIGTERM"));
    await ended(this.google, () => this.google.stdin?.end());
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function line(answers: Interface): Promise<string> {
  return new Promise((resolve, reject) => {
    answers.once("line", resolve);
    answers.once("close", () => reject(new Error("the fake of Google has ended")));
  });
}

function ended(child: ChildProcess, end: () => void): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    child.once("exit", () => resolve());
    end();
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });
}
