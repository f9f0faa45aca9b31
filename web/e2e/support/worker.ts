// A local worker from its host's side: what can happen to its processes.

import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Workshop } from "@clarateach/sdk";

const data = dirname(process.env.CLARATEACH_TOKEN_FILE ?? "");

/** Where the first worker of a workshop keeps what it has. */
function run(workshop: Workshop): string {
  return join(data, "workers", workshop.info.workers[0]?.name ?? "", "run");
}

/** Kills the agent; seats live on, and another agent comes. */
export function killAgent(workshop: Workshop): void {
  process.kill(agentOf(workshop), "SIGKILL");
}

/** The agent does nothing until it is woken; what runs, runs on. */
export function sleepAgent(workshop: Workshop): { wake(): void } {
  const pid = agentOf(workshop);
  process.kill(pid, "SIGSTOP");
  return { wake: () => process.kill(pid, "SIGCONT") };
}

/** Takes everything away at once, as when a machine is lost: agent and all seats. */
export function killMachine(workshop: Workshop): void {
  const runc = join(run(workshop), "runc");
  const seats = readdirSync(runc).map((name) => join(runc, name, "state.json"));
  const guests = seats.filter(existsSync).map((file) => {
    const { init_process_pid } = JSON.parse(readFileSync(file, "utf8"));
    return Number(init_process_pid);
  });
  for (const pid of [agentOf(workshop), ...guests]) process.kill(pid, "SIGKILL");
  if (guests.length === 0) throw new Error(`no seats below ${runc}`);
}

/** Something lies where a seat would be made, so that it cannot be. */
export function breakSeat(workshop: Workshop, seat: number): void {
  writeFileSync(join(run(workshop), "seats", `${seat}`), "in the way");
}

export function mendSeat(workshop: Workshop, seat: number): void {
  rmSync(join(run(workshop), "seats", `${seat}`), { recursive: true });
}

/** Ends the server as an upgrade does; whoever keeps it serving starts another. */
export function restartServer(): void {
  writeFileSync(`${process.env.CLARATEACH_SERVER_PID_FILE}.again`, "");
  process.kill(serverPid(), "SIGTERM");
}

/** The most memory that the server and the worker's agent ever had, in MiB. */
export function peaks(workshop: Workshop): { server: number; agent: number } {
  const peak = (pid: number): number => {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
  };
  return { server: peak(serverPid()), agent: peak(agentOf(workshop)) };
}

function serverPid(): number {
  return Number(readFileSync(process.env.CLARATEACH_SERVER_PID_FILE ?? "", "utf8"));
}

function agentOf(workshop: Workshop): number {
  return Number(readFileSync(join(run(workshop), "agent.pid"), "utf8"));
}
