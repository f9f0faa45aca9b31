// A worker of a server on this machine, from its host's side.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Workshop } from "./live.js";

const data = dirname(process.env.CLARATEACH_TOKEN_FILE ?? "");

/** Ends all that its first worker runs at once, agent and seats, as when a machine is taken away. */
export function loseWorker({ workers }: Workshop): void {
  const run = join(data, "workers", workers[0]?.name ?? "", "run");
  const states = readdirSync(join(run, "runc"))
    .map((name) => join(run, "runc", name, "state.json"))
    .filter(existsSync)
    .map((file) => JSON.parse(readFileSync(file, "utf8")));
  if (states.length === 0) throw new Error(`no seats below ${run}`);
  const agent = Number(readFileSync(join(run, "agent.pid"), "utf8"));
  for (const pid of [agent, ...states.map((state) => Number(state.init_process_pid))]) {
    process.kill(pid, "SIGKILL");
  }
}
