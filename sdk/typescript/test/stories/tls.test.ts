import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer, type Server } from "node:tls";
import { afterAll, expect, test } from "vitest";
import { CertificateError } from "../../src/errors.js";
import { Client } from "../../src/node.js";
import { stories, token, url } from "../support/live.js";
import { refused } from "../support/refused.js";

stories("a control plane with a certificate of its own", () => {
  const folder = mkdtempSync(join(tmpdir(), "clarateach-tls-"));
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  let server: Server;
  afterAll(() => {
    server?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test("is trusted when its CA is given, under its own name only", async () => {
    const parameters = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    const name = ["-subj", "/CN=class", "-addext", "subjectAltName=IP:127.0.0.1"];
    const out = ["-keyout", key, "-out", cert];
    execFileSync("openssl", [...parameters.split(" "), ...name, ...out], { stdio: "ignore" });
    const ca = readFileSync(cert, "utf8");
    const { hostname, port } = new URL(url);
    const tls = { key: readFileSync(key), cert: ca, ALPNProtocols: ["h2"] };
    server = createServer(tls, (near) => {
      const far = connect(Number(port), hostname);
      near.pipe(far).pipe(near);
      for (const end of [near, far]) end.on("error", () => undefined);
    });
    await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
    const at = (server.address() as AddressInfo).port;

    const trusting = new Client({ url: `https://127.0.0.1:${at}`, token, ca });
    expect((await trusting.workshops.page()).workshops).toBeInstanceOf(Array);
    trusting.close();
    const strange = new Client({ url: `https://127.0.0.1:${at}`, token });
    await refused(strange.workshops.page(), CertificateError, "CERTIFICATE_UNKNOWN");
    const misnamed = new Client({ url: `https://localhost:${at}`, token, ca });
    await refused(misnamed.workshops.page(), CertificateError, "CERTIFICATE_NAME");
  });
}, ["node, direct"]);
