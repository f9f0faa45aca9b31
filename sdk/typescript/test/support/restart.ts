import { readFileSync, writeFileSync } from "node:fs";
import { expect } from "vitest";
import { url } from "./live.js";

const file = process.env.CLARATEACH_SERVER_PID_FILE ?? "";

/** Whether whoever started the server starts it again when it ends. */
export const restarts: boolean = file !== "";

/** Ends the server as an operator would, and waits for the next one. */
export async function restart(): Promise<void> {
  const before = readFileSync(file, "utf8");
  writeFileSync(`${file}.again`, "");
  process.kill(Number(before), "SIGTERM");
  const answers = async () => {
    const health = await fetch(`${url}/api/health`);
    return health.ok && readFileSync(file, "utf8") !== before;
  };
  await expect.poll(() => answers().catch(() => false), { timeout: 60_000 }).toBe(true);
}
