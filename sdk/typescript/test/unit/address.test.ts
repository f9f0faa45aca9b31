import { inspect } from "node:util";
import { expect, test } from "vitest";
import { parseServer, parseToken } from "../../src/address.js";
import { Client as BrowserClient } from "../../src/browser.js";
import { Client } from "../../src/node.js";

test("a server's address is read or refused, with what to do", () => {
  const good = [
    ["https://class.example", "https://class.example"],
    ["https://class.example/", "https://class.example"],
    ["https://class.example/behind/a/proxy/", "https://class.example/behind/a/proxy"],
    ["http://127.0.0.1:8080", "http://127.0.0.1:8080"],
    ["http://127.9.9.9", "http://127.9.9.9"],
    ["http://localhost:8080", "http://localhost:8080"],
    ["http://[::1]:8080", "http://[::1]:8080"],
  ];
  for (const [text, url] of good) expect(parseServer(text as string)).toBe(url);
  const bad = [
    ["", "BAD_URL"],
    ["class.example", "BAD_URL"],
    ["ftp://class.example", "BAD_URL"],
    ["https://me:secret@class.example", "BAD_URL"],
    ["https://class.example?token=x", "BAD_URL"],
    ["http://class.example", "PLAIN_HTTP"],
    ["http://127.0.0.1.evil.example", "PLAIN_HTTP"],
    ["http://10.0.0.1:8080", "PLAIN_HTTP"],
  ];
  for (const [text, reason] of bad) {
    expect(() => parseServer(text as string)).toThrow(expect.objectContaining({ reason }));
  }
});

test("a token that fits no header is refused, and not repeated", () => {
  expect(parseToken(" ct_abc\n")).toBe("ct_abc");
  for (const token of ["", "  ", "a b", "a\nb", "ü"]) {
    expect(() => parseToken(token)).toThrow(expect.objectContaining({ reason: "BAD_TOKEN" }));
  }
  expect(() => parseToken("sec ret")).toThrow(
    expect.objectContaining({ message: expect.not.stringContaining("ret\b") }),
  );
});

test("no client shows its token", () => {
  const options = { url: "http://127.0.0.1:1", token: "very-secret" };
  for (const client of [new Client(options), new BrowserClient(options)]) {
    const shown = inspect(client, { depth: 12, showHidden: true }) + JSON.stringify(client);
    expect(shown).not.toContain("very-secret");
    client.close();
  }
});
