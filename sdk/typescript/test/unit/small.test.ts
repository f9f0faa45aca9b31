import { readFileSync } from "node:fs";
import { expect, test, vi } from "vitest";
import { Backoff } from "../../src/backoff.js";
import { fromBase64, toBase64 } from "../../src/base64.js";
import { InvalidError, LocalFileError } from "../../src/errors.js";
import {
  RuntimeSchema,
  WorkshopStatusSchema,
} from "../../src/gen/clarateach/workshop/v1/workshop_pb.js";
import { lifeOf } from "../../src/jwt.js";
import { lines } from "../../src/lines.js";
import { Client } from "../../src/node.js";
import { requestId } from "../../src/request_id.js";
import { VERSION } from "../../src/version.js";
import { duration, number, word } from "../../src/wire.js";

test("the version is the package's", () => {
  const manifest = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  expect(VERSION).toBe(JSON.parse(manifest).version);
});

test("the README begins with ten lines or fewer", () => {
  const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
  const [, example = ""] = /^```js\n(.*?)^```$/ms.exec(readme) ?? [];
  const lines = example.trim().split("\n");
  expect(lines.length).toBeGreaterThan(5);
  expect(lines.length).toBeLessThanOrEqual(10);
});

test("a client is made from the command line's variables, in Node", () => {
  vi.stubEnv("CLARATEACH_TOKEN_FILE", undefined).stubEnv("CLARATEACH_CA_FILE", undefined);
  vi.stubEnv("CLARATEACH_URL", undefined);
  expect(() => Client.fromEnvironment()).toThrow(InvalidError);
  vi.stubEnv("CLARATEACH_URL", "http://127.0.0.1:1");
  expect(Client.fromEnvironment().url).toBe("http://127.0.0.1:1");
  vi.stubEnv("CLARATEACH_TOKEN_FILE", "/no/such/file");
  expect(() => Client.fromEnvironment()).toThrow(LocalFileError);
  vi.unstubAllEnvs();
});

test("waits double, spread, and stay within ten seconds; the server's word wins", () => {
  const backoff = new Backoff();
  for (let most = 200; most < 1e6; most *= 2) {
    const wait = backoff.next();
    expect(wait).toBeGreaterThan(0);
    expect(wait).toBeLessThanOrEqual(Math.min(most, 10_000));
  }
  expect(backoff.next(60_000)).toBe(60_000);
  backoff.reset();
  expect(backoff.next()).toBeLessThanOrEqual(200);
});

test("a token's life is read from what it says, whatever the time", () => {
  const token = (claims: object): string => `x.${btoa(JSON.stringify(claims))}.y`;
  expect(lifeOf(token({ iat: 1000, exp: 1900 }))).toBe(900_000);
  for (const bad of ["", "x", "x.y.z", token({}), token({ iat: 5, exp: 5 })]) {
    expect(lifeOf(bad)).toBe(300_000);
  }
});

test("words and numbers of enums, also of later ones", () => {
  expect(word(WorkshopStatusSchema, 1)).toBe("provisioning");
  expect(word(WorkshopStatusSchema, 99)).toBe("unknown-99");
  expect(word(WorkshopStatusSchema, 0)).toBe("unknown-0");
  expect(number(RuntimeSchema, "container", "runtime")).toBe(2);
  expect(() => number(RuntimeSchema, "vm", "runtime")).toThrow(
    /must be one of firecracker, container/,
  );
  expect(() => number(RuntimeSchema, "unspecified", "runtime")).toThrow();
  expect(duration("1500ms", "ttl")).toEqual({ seconds: 1n, nanos: 500_000_000 });
});

test("lines come whole, however they are cut", async () => {
  const text = new TextEncoder().encode('{"a":"ü"}\n\n{"b":1}\nrest');
  for (let size = 1; size <= text.length; size += 1) {
    const body = new ReadableStream<Uint8Array>({
      start(control) {
        for (let at = 0; at < text.length; at += size) control.enqueue(text.slice(at, at + size));
        control.close();
      },
    });
    const seen: string[] = [];
    for await (const line of lines(body)) seen.push(line);
    expect(seen).toEqual(['{"a":"ü"}', '{"b":1}', "rest"]);
  }
});

test("base64 of every byte, and of much", () => {
  const all = Uint8Array.from({ length: 100_000 }, (_, n) => n % 256);
  expect(fromBase64(toBase64(all))).toEqual(all);
  expect(toBase64("ü")).toBe("w7w=");
});

test("request ids are fresh, and fit the schema", () => {
  const ids = new Set(Array.from({ length: 100 }, requestId));
  expect(ids.size).toBe(100);
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/);
});
