// A live server, as CLARATEACH_URL and CLARATEACH_TOKEN_FILE say, and people before it.

import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join as pathOf } from "node:path";
import { Client, type Workshop, type WorkshopWish } from "@clarateach/sdk";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { expect } from "vitest";
import { audit } from "./audit.js";

export const url: string = process.env.CLARATEACH_URL ?? "";
const tokenFile = process.env.CLARATEACH_TOKEN_FILE ?? "";
/** An admin's token; empty without a server. */
export const token: string = tokenFile === "" ? "" : readFileSync(tokenFile, "utf8").trim();
const executablePath = process.env.CLARATEACH_CHROMIUM ?? "/usr/bin/chromium";
/** Where pictures of pages go, if anywhere. */
const pictures = process.env.CLARATEACH_SCREENSHOTS ?? "";

/** What the server calls its workers for browsers. */
export const workers: string = process.env.CLARATEACH_WORKERS ?? "none.invalid";

/** What a story lacks; empty for nothing. */
export const missing: string =
  url === "" ? "a live server" : existsSync(executablePath) ? "" : executablePath;
if (missing !== "") console.log(`SKIPPED: stories in Chromium: they need ${missing}`);

/** A control plane, and an admin's way in. */
export interface Plane {
  readonly url: string;
  readonly token: string;
}

/** One story's browser, and all that it made. */
export class House {
  readonly #at: Plane;
  #client: Client | undefined;
  readonly #made: Workshop[] = [];
  readonly #complaints: string[] = [];
  #browser: Browser | undefined;

  /** Before the server that all stories share, or one of a story's own. */
  constructor(at: Plane = { url, token }) {
    this.#at = at;
  }

  /** The instructor, without a page. */
  get client(): Client {
    this.#client ??= new Client({ ...this.#at });
    return this.#client;
  }

  /** `args` are Chromium's. Without any, workers' names lead nowhere, as behind a strict proxy. */
  async open(args = [`--host-resolver-rules=MAP *.${workers} ~NOTFOUND`]): Promise<void> {
    // The machine is a test's own, and its root may not use Chromium's sandbox.
    this.#browser = await chromium.launch({ executablePath, args: ["--no-sandbox", ...args] });
  }

  /** Somebody with a browser of their own. */
  async person(options: Parameters<Browser["newContext"]>[0] = {}): Promise<BrowserContext> {
    if (!this.#browser) throw new Error("open() first");
    const context = await this.#browser.newContext({ baseURL: this.#at.url, ...options });
    context.setDefaultTimeout(20_000);
    context.on("page", (page) => {
      page.on("pageerror", (error) => this.#complaints.push(`${page.url()}: ${error.message}`));
      page.on("console", (message) => {
        const text = message.text();
        // What a policy forbids is a fault of the page, whether it is seen or not.
        if (/Content Security Policy|TrustedHTML|TrustedScript/.test(text)) {
          this.#complaints.push(`${page.url()}: ${text}`);
        }
      });
    });
    return context;
  }

  /** A workshop that the story's end removes. */
  async workshop(wish: Partial<WorkshopWish> = {}): Promise<Workshop> {
    const whole = { name: "story", seats: 1, runtime: "container", ttl: "1h", ...wish } as const;
    const workshop = await this.client.workshops.create(whole);
    this.#made.push(workshop);
    return workshop;
  }

  /** Signs the instructor in, in this page's tab. */
  async signIn(page: Page): Promise<void> {
    await page.goto("/console");
    await page.getByLabel("API token").fill(this.#at.token);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("heading", { name: "Workshops" }).waitFor();
  }

  /** What no page may have: errors that nobody caught, and what its policy forbade. */
  complaints(): string[] {
    return this.#complaints.splice(0);
  }

  async close(): Promise<void> {
    await this.#browser?.close();
    await Promise.all(
      this.#made.map(async (workshop) => {
        await workshop.delete().catch(() => undefined);
        await workshop.waitDeleted({ timeoutMs: 100_000 }).catch(() => undefined);
      }),
    );
    this.#client?.close();
  }
}

/** What the terminal in front shows, as its reader sees it. */
export async function screen(page: Page): Promise<string> {
  return page.evaluate(() => {
    const rows = document.querySelectorAll(".pane:not([hidden]) .xterm-rows > div");
    return Array.from(rows, (row) => (row.textContent ?? "").replaceAll("\u00a0", " ")).join("\n");
  });
}

/** Waits until the terminal in front shows something. */
export async function shows(page: Page, text: string | RegExp): Promise<void> {
  // Asked from here: a function that waits in the page would be made there from text, which its policy forbids.
  const asked = expect.poll(() => screen(page), { timeout: 20_000, interval: 100 });
  await (typeof text === "string" ? asked.toContain(text) : asked.toMatch(text));
}

/** Types into the terminal in front, once its line is open. */
export async function type(page: Page, text: string): Promise<void> {
  await page.locator('.pane:not([hidden])[data-state="live"]').waitFor({ timeout: 60_000 });
  await page.locator(".pane:not([hidden]) .xterm-helper-textarea").focus();
  await page.keyboard.type(text);
}

/** Joins by the form, and waits for the terminal. */
export async function join(page: Page, code: string, name: string): Promise<void> {
  await page.goto(`/j/${code}`);
  await page.getByLabel("Your name").fill(name);
  await page.getByRole("button", { name: "Join", exact: true }).click();
  await page.locator('.pane[data-state="live"]').waitFor({ timeout: 100_000 });
}

/** The code that brings a learner who just joined back to their seat. */
export async function wayBack(page: Page): Promise<string> {
  const note = page.getByRole("region", { name: "Your way back" });
  return (await note.locator("code").textContent()) ?? "";
}

/** The learner has noted that code. */
export async function noted(page: Page): Promise<void> {
  const note = page.getByRole("region", { name: "Your way back" });
  await note.getByRole("button", { name: "I have it" }).click();
}

/** Comes back with it, on another device. */
export async function comeBack(page: Page, code: string, reconnect: string): Promise<void> {
  await page.goto(`/j/${code}`);
  await page.getByText("I had a seat here").click();
  await page.getByLabel("Reconnect code").fill(reconnect);
  await page.getByRole("button", { name: "Join", exact: true }).click();
}

/** What pages are drawn at, when pictures are taken: usual, the smallest desk, a phone. */
const SIZES = { "": [1280, 720], "-small": [1024, 640], "-phone": [390, 800] } as const;

/** Takes a picture of a page in both colours, if pictures are wanted. */
export async function picture(page: Page, name: string): Promise<void> {
  if (pictures !== "") await inBoth(page, (colours) => draw(page, `${name}-${colours}`));
}

/** The same, and axe finds nothing serious in either. */
export async function looked(page: Page, name: string): Promise<void> {
  await inBoth(page, async (colours) => {
    expect(await audit(page), `${name}, ${colours}`).toEqual([]);
    if (pictures !== "") await draw(page, `${name}-${colours}`);
  });
}

async function inBoth(page: Page, does: (colours: string) => Promise<void>): Promise<void> {
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    await page.locator(`html[data-theme="${colorScheme}"]`).waitFor({ state: "attached" });
    await does(colorScheme);
  }
  await page.emulateMedia({ colorScheme: null });
}

async function draw(page: Page, name: string): Promise<void> {
  mkdirSync(pictures, { recursive: true });
  const before = page.viewportSize();
  for (const [ending, [width, height]] of Object.entries(SIZES)) {
    await page.setViewportSize({ width, height });
    // Nothing says that panes and terminals have followed; a picture is no test.
    await page.waitForTimeout(300);
    await page.screenshot({ path: pathOf(pictures, `${name}${ending}.png`) });
  }
  if (before) await page.setViewportSize(before);
}
