import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import * as errors from "../../src/errors.js";
import { kitFile } from "../support/kit.js";

const home = new URL("../../src/", import.meta.url);
const files = readdirSync(home).filter((name) => name.endsWith(".ts"));
const sources = ["node/files.ts", "node.ts", ...files].map((name) =>
  readFileSync(new URL(name, home), "utf8"),
);
/** Classes of ours behind the names that are exported. */
const BEHIND: Record<string, string> = { Files: "NodeFiles" };

/** Public members of a class or an interface, by its source; those it inherits, too. */
function members(name: string): string[] {
  const shape = `export (?:class|interface) ${name}\\b([^{]*)\\{\\n(.*?)\\n\\}`;
  const found = sources
    .map((text) => new RegExp(shape, "s").exec(text))
    .find((one) => one !== null);
  if (!found) return [];
  const [, head = "", body = ""] = found;
  // Other static ones are for our own sources.
  const member =
    /^ {2}(?:(?:override|readonly|get|async|static(?= fromEnvironment)) |\*)*([a-z]\w*)\??[(<:]/gm;
  const own = [...body.matchAll(member)].map(([, word = ""]) => word);
  const above = /^(?:<[^>]*>)? extends (\w+)/.exec(head)?.[1];
  return [...own, ...(above ? members(above) : [])].filter((word) => word !== "constructor");
}

const snake = (name: string): string => name.replaceAll(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);

test("what a source has of members is found", () => {
  expect(members("SeatWork").sort()).toEqual(["close", "files", "seat"]);
});

test.each(Object.entries(kitFile("names.json").classes))(
  "%s is called so in both packages",
  (name, listed) => {
    const { both, typescript = [] } = listed as { both: string[]; typescript?: string[] };
    // What JavaScript's own errors have is not in our sources.
    const builtin = name.endsWith("Error") ? ["message"] : [];
    const ours = members(BEHIND[name] ?? name).filter((word) => word !== "name" || !builtin.length);
    expect([...new Set([...ours.map(snake), ...builtin])].sort()).toEqual(
      [...both, ...typescript].sort(),
    );
  },
);

test("errors are those of both packages", () => {
  expect(Object.keys(errors).sort()).toEqual(kitFile("names.json").errors);
});
