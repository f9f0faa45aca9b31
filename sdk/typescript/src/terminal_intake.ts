// What came in and was not read yet. Pure: offsets, repaints, bounds.

import { readControl, type TerminalEvent } from "./terminal_events.js";

/** One thing to hand to the reader, in order. */
export type Item =
  | { event: TerminalEvent; data?: undefined }
  /** `offset` is that after the data. */
  | { data: Uint8Array; offset: number; event?: undefined };

/** Unread output beyond which no more is taken in, in bytes. */
export const FULL: number = 8 * 1024 * 1024;

/** Where a shell's output stands. */
export interface Position {
  /** Names the shell: new for every shell and every restore. */
  readonly instance: string;
  /** Bytes of its output so far. */
  readonly offset: number;
}

/** Counts and queues what one terminal's sockets say, one after the other. */
export class Intake {
  #items: Item[] = [];
  #unread = 0;
  #instance: string;
  #offset: number | undefined;
  /** Bytes of a painting that are still to come; they do not count. */
  #painting = 0;
  /** What the shell ended with, once it said so. */
  exitCode: number | undefined;

  constructor(from?: Position) {
    this.#instance = from?.instance ?? "";
    this.#offset = from?.offset;
  }

  /** Where to continue; undefined for "from the present screen". */
  get resume(): Position | undefined {
    // Half a painting is no screen: it is asked for again.
    if (this.#instance === "" || this.#offset === undefined || this.#painting > 0) return undefined;
    return { instance: this.#instance, offset: this.#offset };
  }

  /** The shell, once known. */
  get instance(): string {
    return this.#instance;
  }

  /** Whether the reader is so far behind that no more may come in. */
  get full(): boolean {
    return this.#unread > FULL;
  }

  /** Whether nothing waits to be read. */
  get empty(): boolean {
    return this.#items.length === 0;
  }

  /** A binary frame. */
  data(bytes: Uint8Array): void {
    const painted = Math.min(this.#painting, bytes.length);
    this.#painting -= painted;
    this.#offset = (this.#offset ?? 0) + bytes.length - painted;
    this.#unread += bytes.length;
    this.#items.push({ data: bytes, offset: this.#offset });
  }

  /** A text frame; gives the event it was, if it was one. */
  control(text: string): TerminalEvent | undefined {
    const said = readControl(text);
    if (said === undefined) return undefined;
    let event: TerminalEvent = said;
    if (said.type === "attached") {
      this.#instance = said.instance;
      this.#offset = said.offset;
      this.#painting = 0;
    } else if (said.type === "repaint") {
      this.#offset = said.offset ?? 0;
      this.#painting = said.bytes ?? 0;
      event = { type: "repaint", lost: said.lost };
    } else if (said.type === "exit") {
      this.exitCode = said.code;
    }
    this.event(event);
    return event;
  }

  /** Something of our own, such as a lost connection. */
  event(event: TerminalEvent): void {
    this.#items.push({ event });
  }

  /** The next thing for the reader. */
  take(): Item | undefined {
    const item = this.#items.shift();
    if (item?.data !== undefined) this.#unread -= item.data.length;
    return item;
  }
}
