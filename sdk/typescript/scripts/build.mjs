// src -> dist: JavaScript, types and source maps, a file each, so that trees shake.
import { execFileSync } from "node:child_process";
import { copyFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const home = dirname(dirname(fileURLToPath(import.meta.url)));
// npm packs only what lies in the package itself.
copyFileSync(join(home, "../../LICENSE"), join(home, "LICENSE"));
rmSync(join(home, "dist"), { recursive: true, force: true });
execFileSync(join(home, "node_modules/.bin/tsc"), ["-p", "tsconfig.build.json"], {
  cwd: home,
  stdio: "inherit",
});
