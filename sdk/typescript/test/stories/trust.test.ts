import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import {
  AuthError,
  InvalidError,
  NotFoundError,
  ServerError,
  UnavailableError,
} from "../../src/errors.js";
import { nodePlatform } from "../../src/node/platform.js";
import { stories, url } from "../support/live.js";
import { refused } from "../support/refused.js";

stories("tokens and addresses", (house) => {
  test("tokens are made, counted and ended", async () => {
    const { tokens } = house.client;
    const made = await tokens.create({ principal: `ada-${Math.random()}`, role: "instructor" });
    expect(made.info).toMatchObject({ role: "instructor", revokedAt: undefined });
    expect(JSON.stringify(made)).not.toContain(made.token);
    const ada = house.connect(made.token);
    const foreign = await house.class(1);
    await refused(ada.workshops.get(foreign.id), NotFoundError, "WORKSHOP_UNKNOWN");
    const own = await house.class(1, ada);
    expect((await ada.workshops.get(own.id)).id).toBe(own.id);
    // A watch ends with the token that opened it.
    const watching = (async () => {
      for await (const _ of ada.workshops.watch(own.id)) await tokens.revoke(made.info.id);
    })();
    await refused(watching, AuthError, "TOKEN_INVALID");
    await refused(ada.workshops.get(own.id), AuthError, "TOKEN_INVALID");
    const listed = await tokens.list();
    expect(listed.find(({ id }) => id === made.info.id)?.revokedAt).toBeInstanceOf(Date);
  });

  test("a wrong token, and none, are refused", async () => {
    await refused(house.connect("wrong").workshops.page(), AuthError, "TOKEN_INVALID");
    const nobody = house.connect();
    await refused(nobody.workshops.page(), AuthError, "TOKEN_INVALID");
  });

  test("a wrong address is said to be one", async () => {
    const page = createServer((_, answer) => answer.end("<html>"));
    await new Promise<void>((ready) => page.listen(0, "127.0.0.1", ready));
    const port = (page.address() as AddressInfo).port;
    await refused(
      house.connect("t", `http://127.0.0.1:${port}`).workshops.page(),
      ServerError,
      "NOT_CLARATEACH",
    );
    page.close();
    page.closeAllConnections();
    await refused(
      house.connect("t", `http://127.0.0.1:${port}`).workshops.page(),
      UnavailableError,
      "UNREACHABLE",
    );
    const tls = house.connect("t", url.replace("http:", "https:")).workshops.page();
    await refused(tls, UnavailableError, "NOT_TLS");
    const plain = async () => house.connect("t", "http://192.0.2.1:8080");
    await refused(plain(), InvalidError, "PLAIN_HTTP");
  });
});

stories(
  "the pinned CA",
  (house) => {
    test("a worker is trusted by the workshop's own CA, and by no other", async () => {
      const [one, other] = [await house.class(1), await house.class(1)];
      const seat = await house.learner(one);
      expect((await seat.run("true")).exitCode).toBe(0);
      const worker = `https://${one.info.workers[0]?.address}/health`;
      const platform = nodePlatform(url, undefined, "direct");
      const health = await platform.fetch(worker, {}, one.info.caCertificate);
      expect(health.status).toBe(200);
      for (const ca of [other.info.caCertificate, undefined]) {
        await expect(platform.fetch(worker, {}, ca)).rejects.toMatchObject({
          name: "CertificateError",
          reason: "CERTIFICATE_UNKNOWN",
        });
      }
      platform.close();
    });
  },
  ["node, direct"],
);
