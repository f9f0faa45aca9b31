// What the browser entry costs a page: everything it exports, bundled and
// minified as a page would, in KiB before and after gzip. Fails on anything of
// Node's in it, and above the goal.
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

/** Gzipped, in KiB. */
const GOAL = 60;

const home = dirname(dirname(fileURLToPath(import.meta.url)));
const { metafile, outputFiles } = await build({
  entryPoints: [join(home, "src/browser.ts")],
  bundle: true,
  minify: true,
  write: false,
  metafile: true,
  format: "esm",
  platform: "browser",
  target: "es2022",
  logLevel: "error",
});
// A platform of "browser" leaves node: imports unresolved, which is an error already.
const nodes = Object.keys(metafile.inputs).filter((path) =>
  /\/(node|ws|undici|connect-node)\//.test(path.replace(/node_modules/g, "")),
);
const kib = (bytes) => bytes / 1024;
const [raw, zipped] = [outputFiles[0].contents.length, gzipSync(outputFiles[0].contents).length];
console.log(
  `browser bundle: ${kib(raw).toFixed(1)} KiB minified, ${kib(zipped).toFixed(1)} KiB gzipped (goal: ${GOAL})`,
);
if (nodes.length > 0) {
  console.error(`the browser entry reaches Node's part: ${nodes.join(", ")}`);
  process.exitCode = 1;
}
if (kib(zipped) > GOAL) {
  console.error("the browser bundle is above its goal");
  process.exitCode = 1;
}
