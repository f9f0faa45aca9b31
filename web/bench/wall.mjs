// What a wall of live seats costs: one console page before a class whose terminals never rest.
// Prints processors' time and memory; asserts nothing.
//
// Usage: scripts/bench-web.sh wall [SEATS] [MINUTES]
import { readdirSync, readFileSync } from "node:fs";
import { Client } from "@clarateach/sdk";
import { chromium } from "playwright-core";

const url = process.env.CLARATEACH_URL;
const token = readFileSync(process.env.CLARATEACH_TOKEN_FILE, "utf8").trim();
const serverPid = Number(readFileSync(process.env.CLARATEACH_SERVER_PID_FILE, "utf8"));
const seats = Number(process.argv[2] ?? 50);
const minutes = Number(process.argv[3] ?? 10);
/** Looks at everybody's time and memory so often, in seconds. */
const EVERY = 15;
/** Of /proc: a hundredth of a second. */
const TICK = 0.01;
const MIB = 1024 * 1024;

const client = new Client({ url, token });
const workshop = await client.workshops.create({
  name: "wall",
  seats,
  runtime: "container",
  ttl: "2h",
});
const chrome = await chromium.launchServer({
  executablePath: process.env.CLARATEACH_CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
try {
  await workshop.waitRunning({ timeoutMs: 600_000 });
  await Promise.all(Array.from({ length: seats }, (_, n) => learner(n + 1)));
  const browser = await chromium.connect(chrome.wsEndpoint());
  const page = await (await browser.newContext({ baseURL: url })).newPage();
  await page.goto("/console");
  await page.getByLabel("API token").fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Workshops" }).waitFor();
  await page.goto(`/console/${workshop.id}`);
  await page
    .locator(".tile .preview")
    .nth(seats - 1)
    .waitFor();
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable");
  await sleep(EVERY); // What a page costs at its start is another figure.
  const looks = [await look(session)];
  while (looks.length <= (minutes * 60) / EVERY) {
    await sleep(EVERY);
    looks.push(await look(session));
  }
  report(looks);
  await browser.close();
} finally {
  await chrome.close();
  await workshop.delete();
  await workshop.waitDeleted({ timeoutMs: 600_000 });
  client.close();
}

/** Joins, and leaves a shell behind that says something every second. */
async function learner(n) {
  const seat = await client.join(workshop.code, { name: `learner ${n}` });
  const terminal = await seat.terminal();
  await terminal.write("while sleep 1; do date; done\r");
  await terminal.readUntil("UTC").catch(() => undefined);
  await terminal.close();
  seat.close();
}

function sleep(seconds) {
  return new Promise((over) => setTimeout(over, seconds * 1000));
}

async function look(session) {
  const { metrics } = await session.send("Performance.getMetrics");
  const metric = (name) => metrics.find((one) => one.name === name)?.value ?? 0;
  return {
    at: performance.now() / 1000,
    browser: tree(chrome.process().pid).reduce((sum, pid) => sum + time(pid), 0),
    server: serverPid ? time(serverPid) : 0,
    heap: metric("JSHeapUsedSize") / MIB,
    nodes: metric("Nodes"),
    memory: serverPid ? memory(serverPid) : 0,
  };
}

/** Seconds of a processor that a process has had. */
function time(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK;
}

/** MiB that it holds. */
function memory(pid) {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}

/** A process and all below it. */
function tree(root) {
  const parents = new Map();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
    } catch {
      // It ended meanwhile.
    }
  }
  const found = [root];
  for (const pid of found) {
    for (const [child, parent] of parents) if (parent === pid) found.push(child);
  }
  return found;
}

function report(looks) {
  const [first, last] = [looks[0], looks.at(-1)];
  const share = (who) => ((100 * (last[who] - first[who])) / (last.at - first.at)).toFixed(1);
  const range = (what) => {
    const all = looks.map((one) => one[what]);
    const [low, high] = [Math.min(...all), Math.max(...all)].map((n) => n.toFixed(1));
    return `${first[what].toFixed(1)} at first, ${last[what].toFixed(1)} at last (${low}-${high})`;
  };
  console.log(
    `${seats} seats, ${((last.at - first.at) / 60).toFixed(1)} min, a line each second in each`,
  );
  console.log(
    `browser, all processes: ${share("browser")} % of a core; server: ${share("server")} %`,
  );
  console.log(`page: heap MiB ${range("heap")}; nodes ${range("nodes")}`);
  console.log(`server: memory MiB ${range("memory")}`);
}
