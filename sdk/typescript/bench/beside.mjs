// What the package costs beside the generated client on the same transport: a figure, no
// verdict. A live server is said by CLARATEACH_URL and CLARATEACH_TOKEN_FILE; run
// `npm run build` before.
import { readFileSync } from "node:fs";
import { loadavg } from "node:os";
import { createClient } from "@connectrpc/connect";
import { WorkshopService } from "../dist/gen/clarateach/workshop/v1/workshop_pb.js";
import { nodePlatform } from "../dist/node/platform.js";
import { Client } from "../dist/node.js";

const [ROUNDS, CALLS] = [15, 200];

const url = process.env.CLARATEACH_URL;
const token = readFileSync(process.env.CLARATEACH_TOKEN_FILE, "utf8").trim();
const client = new Client({ url, token });
const platform = nodePlatform(url, undefined, "auto");
const stub = createClient(WorkshopService, platform.transport);
const headers = { authorization: `Bearer ${token}` };

/** Milliseconds of one call, of many. */
async function timed(call) {
  const began = performance.now();
  for (let n = 0; n < CALLS; n += 1) await call();
  return (performance.now() - began) / CALLS;
}

function spread(figures) {
  const sorted = [...figures].sort((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)];
  return {
    median,
    text: `${median.toFixed(3)} (${sorted[0].toFixed(3)}-${sorted.at(-1).toFixed(3)})`,
  };
}

console.log(`load ${loadavg().map((n) => n.toFixed(2))}, Node ${process.version}`);
const workshop = await client.workshops.create({ name: "Figures", seats: 5, runtime: "container" });
await workshop.waitRunning();
try {
  const byStub = () => stub.getWorkshop({ id: workshop.id }, { headers, timeoutMs: 30_000 });
  const byUs = () => client.workshops.get(workshop.id);
  for (const call of [byStub, byUs]) await timed(call);
  const [ours, peer] = [[], []];
  for (let round = 0; round < ROUNDS; round += 1) {
    peer.push(await timed(byStub));
    ours.push(await timed(byUs));
  }
  const [a, b] = [spread(ours), spread(peer)];
  const ratio = (a.median / b.median).toFixed(3);
  console.log(
    `unary call, beside the generated client: ours ${a.text} ms, peer ${b.text} ms, ratio ${ratio}`,
  );
} finally {
  await workshop.delete();
  await workshop.waitDeleted();
  client.close();
  platform.close();
}
