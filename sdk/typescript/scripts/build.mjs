// src -> dist: JavaScript, types and source maps, a file each, so that trees shake.
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const home = dirname(dirname(fileURLToPath(import.meta.url)));
rmSync(join(home, "dist"), { recursive: true, force: true });
execFileSync(join(home, "node_modules/.bin/tsc"), ["-p", "tsconfig.build.json"], {
  cwd: home,
  stdio: "inherit",
});
