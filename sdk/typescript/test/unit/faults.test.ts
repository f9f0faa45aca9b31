import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import * as errors from "../../src/errors.js";
import { fromCall, fromNetwork, fromRefusal } from "../../src/faults.js";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "../../src/gen/google/rpc/error_details_pb.js";

const url = "https://class.example";

test("every class has the one root, and its name", () => {
  for (const [name, Class] of Object.entries(errors)) {
    expect(
      Class === errors.ClarateachError || Class.prototype instanceof errors.ClarateachError,
    ).toBe(true);
    expect(Class.name).toBe(name);
  }
});

test("what the server says arrives whole", () => {
  const told = new ConnectError("all 5 seats are taken", Code.ResourceExhausted, undefined, [
    { desc: ErrorInfoSchema, value: create(ErrorInfoSchema, { reason: "SEATS_EXHAUSTED" }) },
    { desc: RetryInfoSchema, value: { retryDelay: { seconds: 10n, nanos: 500_000_000 } } },
    {
      desc: BadRequestSchema,
      value: { fieldViolations: [{ field: "seats", description: "few" }] },
    },
  ]);
  const error = fromCall(told, url, "id-1");
  expect(error).toBeInstanceOf(errors.ExhaustedError);
  expect(error).toMatchObject({
    name: "ExhaustedError",
    reason: "SEATS_EXHAUSTED",
    message: "all 5 seats are taken",
    retryAfterMs: 10_500,
    requestId: "id-1",
    fields: [{ field: "seats", description: "few" }],
    cause: told,
  });
});

test("what no server of ours said is told apart", () => {
  const cases: [unknown, string, string][] = [
    [new ConnectError("", Code.Unimplemented), "UnsupportedError", "UNIMPLEMENTED"],
    [new ConnectError("", Code.PermissionDenied), "AuthError", "PERMISSION_DENIED"],
    [new ConnectError("HTTP 404", Code.Unimplemented), "ServerError", "NOT_CLARATEACH"],
    [new ConnectError("HTTP 502", Code.Unavailable), "UnavailableError", "UNREACHABLE"],
    [new ConnectError("stream closed", Code.Canceled), "ConnectionLostError", "CONNECTION_LOST"],
    [new TypeError("Failed to fetch"), "UnavailableError", "UNREACHABLE"],
    [failed("ECONNREFUSED"), "UnavailableError", "UNREACHABLE"],
    [failed("CERT_HAS_EXPIRED"), "CertificateError", "CERTIFICATE_TIME"],
    [failed("DEPTH_ZERO_SELF_SIGNED_CERT"), "CertificateError", "CERTIFICATE_UNKNOWN"],
    [failed("ERR_TLS_CERT_ALTNAME_INVALID"), "CertificateError", "CERTIFICATE_NAME"],
    [failed("ERR_SSL_WRONG_VERSION_NUMBER"), "UnavailableError", "NOT_TLS"],
  ];
  for (const [thrown, name, reason] of cases) {
    expect(fromCall(thrown, url)).toMatchObject({ name, reason });
  }
  expect(fromNetwork(failed("ECONNREFUSED"), url).message).toContain("class.example");
});

test("a refusal over HTTP is read, whatever its body", () => {
  const body = (reason: string, retry = 0): string =>
    JSON.stringify({ error: { reason, message: "no", fields: [], retry_after_seconds: retry } });
  const cases: [number, string, string, string][] = [
    [401, body("TOKEN_EXPIRED"), "AuthError", "TOKEN_EXPIRED"],
    [403, body("TERMINAL_ONLY"), "AuthError", "TERMINAL_ONLY"],
    [412, body("PRECONDITION_FAILED"), "ConflictError", "PRECONDITION_FAILED"],
    [503, body("NOT_RUNNING", 1), "UnavailableError", "NOT_RUNNING"],
    [507, body("DISK_FULL"), "ExhaustedError", "DISK_FULL"],
    [502, "<html>", "UnavailableError", "HTTP_502"],
    [418, "", "ClarateachError", "HTTP_418"],
    [500, '{"error":7}', "ServerError", "HTTP_500"],
  ];
  for (const [status, text, name, reason] of cases) {
    expect(fromRefusal(status, text)).toMatchObject({ name, reason });
  }
  expect(fromRefusal(503, body("NOT_RUNNING", 2)).retryAfterMs).toBe(2000);
});

/** As Node's fetch fails: the code is some causes down. */
function failed(code: string): Error {
  return new TypeError("fetch failed", { cause: Object.assign(new Error(code), { code }) });
}
