// Makes src/gen from the schema; with --check only says whether it is current.
//
// Way: buf generate into an empty folder -> compared with src/gen -> put in its
// place, unless --check was given.
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const home = dirname(dirname(fileURLToPath(import.meta.url)));
const kept = join(home, "src/gen");
const check = process.argv.includes("--check");

/** Every file below `folder` with its text, by path. */
function read(folder) {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true });
  return new Map(
    files
      .filter((file) => file.isFile())
      .map((file) => join(file.parentPath ?? file.path, file.name))
      .sort()
      .map((path) => [path.slice(folder.length), readFileSync(path, "utf8")]),
  );
}

const made = mkdtempSync(join(tmpdir(), "clarateach-gen-"));
try {
  const bin = join(home, "node_modules/.bin");
  // buf looks for the generator on the PATH.
  const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}` };
  execFileSync(join(bin, "buf"), ["generate", "-o", made], { cwd: home, env, stdio: "inherit" });
  const fresh = join(made, "src/gen");
  const differ = JSON.stringify([...read(fresh)]) !== JSON.stringify([...read(kept)]);
  if (differ && check) {
    console.error("src/gen is not what the schema says: run `npm run generate` and commit it.");
    process.exitCode = 1;
  } else if (differ) {
    rmSync(kept, { recursive: true, force: true });
    cpSync(fresh, kept, { recursive: true });
  }
} finally {
  rmSync(made, { recursive: true, force: true });
}
