// Tells the cases of sdk/conformance with whatever can do their acts.

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { ClarateachError } from "../../src/errors.js";

const kit = new URL("../../../conformance/", import.meta.url);

/** Anything that JSON can say. */
// biome-ignore lint/suspicious/noExplicitAny: what a case says is known to its act alone
export type Json = any;

/** What a step is given, besides the token it is done with and the name to keep it by. */
export type Act = (given: Json, as: string | undefined, keep: string | undefined) => Promise<Json>;

interface Step {
  readonly do: string;
  readonly with?: Json;
  readonly as?: string;
  readonly keep?: string;
  readonly gives?: Json;
  readonly refused?: Json;
}

/** One case. */
export interface Case {
  readonly name: string;
  readonly not?: readonly string[];
  readonly steps: readonly Step[];
}

/** One of the kit's files. */
export function kitFile(name: "cases.json" | "names.json"): Json {
  return JSON.parse(readFileSync(new URL(name, kit), "utf8"));
}

/** The cases that a client tells. */
export function casesOf(client: string): Case[] {
  const { cases } = kitFile("cases.json") as { cases: Case[] };
  return cases.filter(({ not = [] }) => !not.includes(client));
}

/** A text's references replaced by what earlier steps kept; one that is nothing else has its type. */
function filled(value: Json, known: Json): Json {
  if (Array.isArray(value)) return value.map((part) => filled(part, known));
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(
      Object.entries(value).map(([key, part]) => [key, filled(part, known)]),
    );
  }
  if (typeof value !== "string") return value;
  const at = (path: string): Json => path.split(".").reduce((from, key) => from[key], known);
  const whole = /^\$\{([a-z_.]+)\}$/.exec(value);
  return whole ? at(whole[1] ?? "") : value.replaceAll(/\$\{([a-z_.]+)\}/g, (_, path) => at(path));
}

/** As vitest compares it: members that are named, all items of a list. */
function matcher(wanted: Json): Json {
  if (Array.isArray(wanted)) return wanted.map(matcher);
  if (wanted === null || typeof wanted !== "object") return wanted;
  if ("$like" in wanted) return expect.stringMatching(new RegExp(wanted.$like));
  if ("$has" in wanted) return expect.arrayContaining([matcher(wanted.$has)]);
  const members = Object.entries(wanted).map(([key, part]) => [key, matcher(part)]);
  return expect.objectContaining(Object.fromEntries(members));
}

/** Whether it is as wanted. */
export function matches(wanted: Json, given: Json): boolean {
  try {
    expect(given).toEqual(matcher(wanted));
    return true;
  } catch {
    return false;
  }
}

/** Tells one case. */
export async function tell({ steps }: Case, acts: Readonly<Record<string, Act>>): Promise<void> {
  const known: Record<string, Json> = { run: randomUUID().slice(0, 8) };
  for (const [at, step] of steps.entries()) {
    const where = `step ${at + 1}, ${step.do}`;
    const act = acts[step.do];
    if (act === undefined) throw new Error(`${where}: no such act`);
    const { refused, keep } = step;
    const given = filled(step.with ?? {}, known);
    const outcome = await act(given, filled(step.as, known), keep).then(
      (gives) => ({ gives }),
      (error: unknown) => ({ error }),
    );
    if ("error" in outcome) {
      const { error } = outcome;
      if (refused === undefined || !(error instanceof ClarateachError)) throw error;
      const fields = error.fields.map(({ field }) => field);
      const told = { reason: error.reason, error: error.name, fields };
      const { grpc: _, http: __, ...wanted } = refused;
      expect(told, where).toEqual(matcher(wanted));
      continue;
    }
    expect(refused, `${where}: was not refused`).toBeUndefined();
    const { gives } = outcome;
    if (step.gives) expect(gives, where).toEqual(matcher(filled(step.gives, known)));
    if (keep !== undefined) known[keep] = gives;
  }
}
