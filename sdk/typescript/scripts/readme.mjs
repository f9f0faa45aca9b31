// Takes the README's code out of it: readme.mjs FOLDER writes example.mjs, the
// first program as it stands, and fragments.ts, all others, each in a function
// that is given what they speak of.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const [folder] = process.argv.slice(2);
const home = dirname(dirname(fileURLToPath(import.meta.url)));
const readme = readFileSync(join(home, "README.md"), "utf8");
const blocks = (language) =>
  [...readme.matchAll(/^```(\w+)\n(.*?)^```$/gms)]
    .filter(([, of]) => of === language)
    .map(([, , code]) => code);

const [example] = blocks("js");
writeFileSync(join(folder, "example.mjs"), example);

const head = `import { ClarateachError, type Client, ExhaustedError, type Seat, type Workshop } from "@clarateach/sdk";
declare const process: { stdout: { write(bytes: Uint8Array): void } };
`;
// A fragment may name anew what it is given: hence the block of its own.
const fragments = blocks("ts").map(
  (code, n) => `
export async function fragment${n}(client: Client, workshop: Workshop, seat: Seat): Promise<void> {
  {
${code}  }
  void [client, workshop, seat, ClarateachError, ExhaustedError];
}
`,
);
writeFileSync(join(folder, "fragments.ts"), head + fragments.join(""));
