import { expect, test } from "vitest";
import { FULL, Intake } from "../../src/terminal_intake.js";

const bytes = (length: number): Uint8Array => new Uint8Array(length);
const attached = (instance: string, offset: number): string =>
  JSON.stringify({ type: "attached", terminal: "main", instance, offset, viewers: 1 });
const repaint = (offset: number, length: number, lost = 0): string =>
  JSON.stringify({ type: "repaint", offset, bytes: length, lost });

test("a painting is not counted, what follows is", () => {
  const intake = new Intake();
  expect(intake.resume).toBeUndefined();
  intake.control(attached("a", 100));
  intake.control(repaint(100, 30));
  intake.data(bytes(20));
  // The rest of the painting and new output in one frame.
  intake.data(bytes(15));
  expect(intake.resume).toEqual({ instance: "a", offset: 105 });
});

test("who attaches hears the size, which another viewer may have chosen", () => {
  const said = { type: "attached", terminal: "main", instance: "a", offset: 0, viewers: 2 };
  const event = new Intake().control(JSON.stringify({ ...said, cols: 132, rows: 43 }));
  expect(event).toEqual({ ...said, cols: 132, rows: 43 });
});

test("half a painting is asked for again", () => {
  const intake = new Intake();
  intake.control(attached("a", 100));
  intake.control(repaint(100, 30));
  intake.data(bytes(20));
  expect(intake.resume).toBeUndefined();
  intake.control(attached("a", 100));
  expect(intake.resume).toEqual({ instance: "a", offset: 100 });
});

test("output and events come in order, and another shell counts anew", () => {
  const intake = new Intake({ instance: "a", offset: 7 });
  expect(intake.resume).toEqual({ instance: "a", offset: 7 });
  intake.control(attached("b", 0));
  intake.control('{"type":"restarted"}');
  intake.data(bytes(3));
  intake.control('{"type":"live"}');
  intake.control('{"type":"exit","code":4}');
  const seen = [];
  for (let item = intake.take(); item; item = intake.take()) {
    seen.push(item.event === undefined ? item.offset : item.event.type);
  }
  expect(seen).toEqual(["attached", "restarted", 3, "live", "exit"]);
  expect(intake.exitCode).toBe(4);
});

test("what is unknown or no JSON is passed over", () => {
  const intake = new Intake();
  for (const text of ['{"type":"later"}', "{}", "[]", "null", "no json", '{"type":"pong"}']) {
    expect(intake.control(text)).toBeUndefined();
  }
  expect(intake.empty).toBe(true);
});

test("it is full until it is read", () => {
  const intake = new Intake();
  intake.data(bytes(FULL));
  expect(intake.full).toBe(false);
  intake.data(bytes(1));
  expect(intake.full).toBe(true);
  intake.take();
  expect(intake.full).toBe(false);
});
