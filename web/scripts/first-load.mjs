// What a learner's first page costs, gzipped: all that is fetched until there is a terminal,
// before the first file is opened. Ends with 1 above the bound.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

/** In KiB. */
const BOUND = 300;
const site = fileURLToPath(new URL("../dist/site", import.meta.url));

/** What one file fetches by itself; what it only may fetch later is not in here. */
function importsOf(path) {
  const text = readFileSync(join(site, path), "utf8");
  const found = path.endsWith(".html")
    ? text.matchAll(/(?:src|href)="\/(assets\/[^"]+)"/g)
    : text.matchAll(/(?:from|import)\s*"(\.\/[^"]+)"/g);
  return Array.from(found, ([, to]) => (to.startsWith("./") ? join(dirname(path), to) : to));
}

/** A file and all that it needs. */
function wholeOf(path, seen) {
  if (seen.has(path)) return seen;
  seen.add(path);
  if (!path.endsWith(".css")) for (const one of importsOf(path)) wholeOf(one, seen);
  return seen;
}

/** The chunk that a name begins, script and style. */
function chunk(name) {
  return readdirSync(join(site, "assets"))
    .filter((file) => file.startsWith(`${name}-`) && /\.(js|css)$/.test(file))
    .map((file) => `assets/${file}`);
}

function size(files) {
  const bytes = [...files].map((file) => gzipSync(readFileSync(join(site, file)), { level: 9 }));
  return bytes.reduce((sum, { length }) => sum + length, 0) / 1024;
}

const loads = {
  "join form": ["index.html", ...chunk("JoinPage")],
  workspace: ["index.html", ...chunk("JoinPage"), ...chunk("Workspace")],
  "workspace with instructions": [
    "index.html",
    ...chunk("JoinPage"),
    ...chunk("Workspace"),
    ...chunk("Instructions"),
  ],
  console: ["index.html", ...chunk("Console")],
  "with the editor, without languages": [
    "index.html",
    ...chunk("JoinPage"),
    ...chunk("Workspace"),
    ...chunk("Editor"),
  ],
};
let over = false;
for (const [name, files] of Object.entries(loads)) {
  const seen = new Set();
  for (const file of files) wholeOf(file, seen);
  const kib = size(seen);
  console.log(`${kib.toFixed(1).padStart(7)} KiB gzipped: ${name}`);
  if (name.startsWith("workspace") && kib > BOUND) over = true;
}
if (over) {
  console.error(`the first load is above ${BOUND} KiB`);
  process.exitCode = 1;
}
