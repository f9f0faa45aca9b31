import { ConflictError, ExhaustedError, InvalidError, UnavailableError } from "@clarateach/sdk";
import { expect, test } from "vitest";
import { left, span } from "../src/app/time.js";
import { FIRST, faultsOf, wishOf } from "../src/console/wish.js";
import { codeIn, shown } from "../src/join/code.js";
import { words } from "../src/join/words.js";
import { asText } from "../src/workspace/editor/documents.js";
import { size } from "../src/workspace/files/Lines.js";
import { offered } from "../src/workspace/terminals/offer.js";

test("a code is found in what people type and paste", () => {
  for (const [typed, code] of [
    ["abcde-fghjk", "ABCDE-FGHJK"],
    [" ABCDE FGHJK ", "ABCDE-FGHJK"],
    ["https://class.example/j/abcdefghjk?x=1", "ABCDE-FGHJK"],
    ["http://127.0.0.1:8080/j/ABCDE-FGHJK", "ABCDE-FGHJK"],
    ["no code", "no code"],
    ["", ""],
  ]) {
    expect(codeIn(typed as string)).toBe(code);
  }
  expect(shown("abc")).toBe("abc");
});

test("times as people say them", () => {
  expect([0, 59_999, 60_000, 7_500_000, 200_000_000].map(span)).toEqual([
    "0 s",
    "59 s",
    "1 min",
    "2 h 05 min",
    "2 d",
  ]);
  expect([-1, 1, 61_000, 600_000, 601_000].map(left)).toEqual([
    "0:00",
    "0:01",
    "1:01",
    "10:00",
    "10 min",
  ]);
});

test("bytes as people say them", () => {
  expect([0, 1023, 1024, 3_000_000].map(size)).toEqual([
    "0 bytes",
    "1023 bytes",
    "1.0 KiB",
    "2.9 MiB",
  ]);
});

test("each end of a join has words of its own, and what time may cure is tried again", () => {
  const full = new ExhaustedError("all 3 seats are taken", { reason: "SEATS_EXHAUSTED" });
  expect(words(full)).toMatchObject({ title: "The class is full", form: true });
  expect(words(full).text).toContain("All 3 seats are taken.");
  expect(words(full).againMs).toBeGreaterThan(0);
  const stopped = new ConflictError("stopped", { reason: "NOT_RUNNING" });
  expect(words(stopped).againMs).toBeGreaterThan(0);
  const over = new ConflictError("over", { reason: "WORKSHOP_OVER" });
  expect(words(over)).toMatchObject({ title: "The workshop is over" });
  expect(words(over).againMs).toBeUndefined();
  const away = new UnavailableError("gone", { reason: "UNREACHABLE" });
  expect(words(away).againMs).toBeGreaterThan(0);
  expect(words(new Error("?")).form).toBe(true);
});

test("a form becomes a wish, or says what is wrong where it is", () => {
  const typed = { ...FIRST, name: " Rust ", seats: "3", env: "A=1\n\nB=x=y", memoryMib: "256" };
  expect(wishOf(typed)).toMatchObject({
    wish: {
      name: "Rust",
      seats: 3,
      env: { A: "1", B: "x=y" },
      resources: { memoryMib: 256 },
      egress: { mode: "internet" },
    },
  });
  const listed = wishOf({ ...typed, egress: "allow_list", allow: "pypi.org, *.x.org\n10.0.0.0/8" });
  expect(listed).toMatchObject({
    wish: { egress: { mode: "allow_list", allow: ["pypi.org", "*.x.org", "10.0.0.0/8"] } },
  });
  expect(wishOf({ ...FIRST, seats: "1.5", env: "1=x" })).toHaveProperty("faults.env");
  const refused = new InvalidError("no", {
    reason: "INVALID",
    fields: [
      { field: "resources.memory_mib", description: "too much" },
      { field: "egress.allow[0]", description: "no host" },
      { field: "name", description: "too long" },
    ],
  });
  expect(faultsOf(refused)).toEqual({ memoryMib: "too much", allow: "no host", name: "too long" });
});

test("what is no text is not edited", () => {
  expect(asText(new TextEncoder().encode("ü\n"))).toBe("ü\n");
  expect(asText(new Uint8Array([0x7f, 0x45, 0x4c, 0x46, 0, 1]))).toBeUndefined();
  expect(asText(new Uint8Array([0xff, 0xfe]))).toBeUndefined();
});

test("what a program offers to copy is text, and never a question", () => {
  const encoded = (bytes: string | Uint8Array) => Buffer.from(bytes).toString("base64");
  for (const [said, text] of [
    [`c;${encoded("grüße")}`, "grüße"],
    [`;${encoded("x")}`, "x"],
    [`pc0;${encoded("x")}`, "x"],
    ["c;?", undefined],
    ["c;", undefined],
    ["c;not base64", undefined],
    [`c;${encoded(Uint8Array.of(0xff, 0xfe))}`, undefined],
    [`c;${encoded("x".repeat(1_000_000))}`, undefined],
    ["", undefined],
  ] as const) {
    expect(offered(said)).toBe(text);
  }
});
