import { expect, test } from "vitest";
import { Access } from "../../src/access.js";
import { AuthError, DeadlineError, UnavailableError } from "../../src/errors.js";
import type { Platform } from "../../src/platform.js";
import { renewIfAnswered } from "../../src/renewing.js";

const platform = { route: "gateway" } as Platform;
const grant = { token: "t", caCertificate: "" };

/** A renewal that ends so, for whoever keeps trying. */
async function renewed(error: Error): Promise<void> {
  const access = new Access(platform, grant, () => Promise.reject(error));
  try {
    await renewIfAnswered(access, new AbortController().signal);
  } finally {
    access.close();
  }
}

test("a renewal that nobody answered, or not in time, ends no line; a refusal does", async () => {
  await renewed(new UnavailableError("nobody answers", { reason: "UNREACHABLE" }));
  await renewed(new DeadlineError("it did not end in time", { reason: "DEADLINE" }));
  const over = new AuthError("it counts no more", { reason: "TOKEN_REVOKED" });
  await expect(renewed(over)).rejects.toBe(over);
});
