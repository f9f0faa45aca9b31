// What a page adds: our workspace beside a bare xterm.js page, each at its own shell through the
// same gateway, in one Chromium, in turns. Prints figures and ratios; asserts nothing.
//
// Usage: scripts/bench-web.sh page [ROUNDS]
// Draws without WebGL: in a software renderer that says nothing about a learner's machine.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Client } from "@clarateach/sdk";
import { chromium } from "playwright-core";

const url = process.env.CLARATEACH_URL;
const token = readFileSync(process.env.CLARATEACH_TOKEN_FILE, "utf8").trim();
const rounds = Number(process.argv[2] ?? 5);
/** Joins of each kind: every one takes a seat. */
const JOINS = 12;
const KEYS = 60;
const FLOOD = 20_000_000;
const MIB = 1024 * 1024;
/** Of our terminal; the bare one is made as large. */
let size;
const xterm = readFileSync(createRequire(import.meta.url).resolve("@xterm/xterm"), "utf8");

const client = new Client({ url, token });
const workshop = await client.workshops.create({
  name: "bench",
  seats: 2 * JOINS,
  runtime: "container",
  ttl: "1h",
});
const browser = await chromium.launch({
  executablePath: process.env.CLARATEACH_CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
try {
  await workshop.waitRunning();
  const seen = {};
  const pages = {};
  for (const name of ["ours", "bare"]) {
    seen[name] = { joins: [], keys: [], flood: [], stop: [], heap: [] };
  }
  for (let n = 0; n < JOINS; n += 1) {
    for (const [name, come] of Object.entries({ ours, bare })) {
      const { page, took } = await come();
      seen[name].joins.push(took);
      if (pages[name]) await page.context().close();
      else pages[name] = page;
      size ??= await sizeOf(page);
    }
  }
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, page] of Object.entries(pages)) {
      await page.bringToFront();
      // As if it had just been clicked into: xterm.js hides its bar of scrolling when the mouse
      // is elsewhere, by a timer for each line.
      await page.locator(".xterm-screen").first().hover();
      seen[name].keys.push(...(await keys(page)));
      seen[name].flood.push(await flood(page));
      seen[name].stop.push(await stop(page));
      seen[name].heap.push(await heap(page));
    }
  }
  report(seen);
} finally {
  await browser.close();
  await workshop.delete();
  await workshop.waitDeleted();
  client.close();
}

/** Our workspace, as a learner has it; from the click on Join to a prompt. */
async function ours() {
  const page = await (await browser.newContext({ baseURL: url })).newPage();
  await page.goto(`/j/${workshop.code}`);
  const button = page.getByRole("button", { name: "Join", exact: true });
  await button.waitFor();
  // As long as somebody takes to type a name: meanwhile the page fetches what comes next.
  await page.waitForLoadState("networkidle");
  const took = await timed(page, () => button.click({ noWaitAfter: true }));
  await page.getByRole("button", { name: "I have it" }).click();
  return { page, took };
}

/** Columns and rows of a page's terminal, as its shell has them. */
async function sizeOf(page) {
  await page.locator(".xterm-helper-textarea").first().focus();
  await page.keyboard.type("clear; stty size\r");
  await shows(page, /^\d+ \d+\s*$/m);
  const said = await page.locator(".xterm-rows > div").first().textContent();
  const [rows, cols] = /^(\d+) (\d+)/.exec(said).slice(1).map(Number);
  return { cols, rows };
}

/**
 * xterm.js and a WebSocket, and nothing else: no acks, no replay, no second look. As large, with
 * as many lines kept, and a button that is clicked likewise.
 */
async function bare() {
  const page = await (await browser.newContext({ baseURL: url, bypassCSP: true })).newPage();
  await page.goto("/");
  await page.evaluate(() => document.body.replaceChildren());
  await page.addScriptTag({ content: xterm });
  await page.evaluate(
    ({ code, cols, rows }) => {
      const button = document.createElement("button");
      button.textContent = "Join";
      document.body.append(button);
      button.onclick = async () => {
        button.remove();
        const answer = await fetch("/api/join", {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ code }),
        });
        const { gateway, token } = await answer.json();
        const screen = new Terminal({ cols, rows, scrollback: 5_000 });
        const place = document.createElement("div");
        document.body.append(place);
        screen.open(place);
        const offers = ["clarateach.terminal.v1", `clarateach.bearer.v1.${token}`];
        const socket = new WebSocket(`${gateway.terminal}?cols=${cols}&rows=${rows}`, offers);
        socket.binaryType = "arraybuffer";
        socket.onmessage = ({ data }) => {
          if (typeof data !== "string") screen.write(new Uint8Array(data));
        };
        screen.onData((text) => socket.send(new TextEncoder().encode(text)));
        screen.focus();
      };
    },
    { code: workshop.code, ...size },
  );
  const button = page.getByRole("button", { name: "Join", exact: true });
  return { page, took: await timed(page, () => button.click({ noWaitAfter: true })) };
}

/** Milliseconds until there is a prompt. */
async function timed(page, begin) {
  const began = performance.now();
  await begin();
  await page.locator(".xterm-rows", { hasText: "$" }).waitFor();
  return performance.now() - began;
}

/** From a key to its glyph in the rows, in milliseconds. */
async function keys(page) {
  const area = page.locator(".xterm-helper-textarea").first();
  await area.focus();
  await page.keyboard.type("clear; cat\r");
  await shows(page, /^\s*$/);
  await page.evaluate(() => {
    window.took = [];
    const rows = document.querySelector(".xterm-rows");
    let at;
    let wanted = 0;
    window.onkeydown = null;
    window.heard?.();
    const down = () => {
      at = performance.now();
      wanted += 1;
    };
    const drawn = new MutationObserver(() => {
      if (at !== undefined && (rows.textContent.match(/x/g) ?? []).length >= wanted) {
        window.took.push(performance.now() - at);
        at = undefined;
      }
    });
    drawn.observe(rows, { childList: true, characterData: true, subtree: true });
    window.addEventListener("keydown", down, true);
    window.heard = () => {
      drawn.disconnect();
      window.removeEventListener("keydown", down, true);
    };
  });
  for (let n = 1; n <= KEYS; n += 1) {
    await page.keyboard.press("x");
    while ((await page.evaluate(() => window.took.length)) < n);
  }
  const took = await page.evaluate(() => {
    window.heard();
    return window.took;
  });
  await page.keyboard.press("Control+C");
  return took;
}

/** `cat` of a large file, from its Enter until what follows it is drawn, in MB a second. */
async function flood(page) {
  await page.keyboard.type(
    `clear; [ -e big ] || yes 'a line of text, as programs print it, of some length' | head -c ${FLOOD} > big; echo re''ady\r`,
  );
  await shows(page, /^ready/m);
  await page.keyboard.type("clear; cat big; clear; echo al''l");
  const began = performance.now();
  await page.keyboard.press("Enter");
  await shows(page, /^all/m);
  return FLOOD / 1e3 / (performance.now() - began);
}

/** From Ctrl-C, two seconds into a flood, to the prompt, in milliseconds. */
async function stop(page) {
  await page.keyboard.type("clear; yes\r");
  await shows(page, /^y\ny\n/m);
  await new Promise((over) => setTimeout(over, 2_000));
  const began = performance.now();
  await page.keyboard.press("Control+C");
  await shows(page, /\$\s*$/);
  return performance.now() - began;
}

/** What scripts of a page hold, in MiB, once what nobody needs is gone. */
async function heap(page) {
  const session = await page.context().newCDPSession(page);
  await session.send("HeapProfiler.collectGarbage");
  await session.send("Performance.enable");
  const { metrics } = await session.send("Performance.getMetrics");
  await session.detach();
  return metrics.find(({ name }) => name === "JSHeapUsedSize").value / MIB;
}

async function shows(page, wanted) {
  for (;;) {
    const rows = await page.evaluate(() =>
      Array.from(document.querySelectorAll(".xterm-rows > div"), (row) => row.textContent).join(
        "\n",
      ),
    );
    if (wanted.test(rows)) return;
  }
}

function report({ ours: us, bare: them }) {
  const at = (all, part) => all.toSorted((a, b) => a - b)[Math.floor((all.length - 1) * part)];
  const beside = (what, of, part) => {
    const [a, b] = [at(us[of], part), at(them[of], part)];
    console.log(
      `${what}: ${a.toFixed(1)} ms, bare ${b.toFixed(1)} ms: ${(a / b).toFixed(2)} x, ${(a - b).toFixed(0)} ms more`,
    );
  };
  beside(`Join to prompt, p50 of ${JOINS}`, "joins", 0.5);
  beside("Join to prompt, p95", "joins", 0.95);
  beside("key to glyph, p50", "keys", 0.5);
  beside("key to glyph, p99", "keys", 0.99);
  beside("Ctrl-C under yes, p50", "stop", 0.5);
  beside("Ctrl-C under yes, longest", "stop", 1);
  const [a, b] = [at(us.flood, 0.5), at(them.flood, 0.5)];
  const spread = (all) => `${Math.min(...all).toFixed(1)}-${Math.max(...all).toFixed(1)}`;
  console.log(
    `cat of 20 MB: ${a.toFixed(1)} MB/s (${spread(us.flood)}), bare ${b.toFixed(1)} (${spread(them.flood)}): ${(a / b).toFixed(2)} x`,
  );
  const held = ({ heap: all }) => all.map((mib) => mib.toFixed(1)).join(" ");
  console.log(`heap after each round, MiB: ${held(us)}; bare ${held(them)}`);
}
