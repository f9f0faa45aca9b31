// Beside every asset, the same in smaller: the server has them in its binary and compresses nothing.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const assets = fileURLToPath(new URL("../dist/site/assets", import.meta.url));
for (const name of readdirSync(assets)) {
  if (!/\.(js|css|svg)$/.test(name)) continue;
  const plain = readFileSync(join(assets, name));
  const quality = { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } };
  for (const [ending, small] of [
    ["br", brotliCompressSync(plain, quality)],
    ["gz", gzipSync(plain, { level: 9 })],
  ]) {
    if (small.length < plain.length) writeFileSync(join(assets, `${name}.${ending}`), small);
  }
}
