import type { Access } from "./access.js";
import { pause, Scope, unlessAborted } from "./cancel.js";
import { invalid } from "./duration.js";
import { ConflictError } from "./errors.js";
import { News } from "./news.js";
import type { Socket } from "./platform.js";
import type { TerminalEvent } from "./terminal_events.js";
import { Intake } from "./terminal_intake.js";
import { keepLine } from "./terminal_line.js";
import { type Size, size } from "./terminal_size.js";

/** Input in one frame, in bytes. */
const CHUNK = 64 * 1024;
/** Input that may wait for the network, in bytes; then `write` waits. */
const AHEAD = 1024 * 1024;
/** Output after which the shell is told how far the reader is, in bytes. */
const ACK_EVERY = 128 * 1024;
/** And at least so often while output comes, in milliseconds. */
const ACK_MS = 200;

/** How to open a terminal. */
export interface TerminalOptions {
  /** Its width in cells, 2 to 500; goes with `rows`. The shell's own when absent. */
  readonly cols?: number;
  /** Its height in cells, 1 to 300. */
  readonly rows?: number;
  /** Where to continue, as an earlier Terminal's `offset`; goes with `instance`. */
  readonly offset?: number;
  /** The shell that the offset is of, as an earlier Terminal's `instance`. */
  readonly instance?: string;
  /** Told of everything besides output, in order with it, as it is read. */
  readonly onEvent?: (event: TerminalEvent) => void;
  /** Closes the terminal whenever it fires; the shell lives on. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * A connection to a shell that outlives it. Iterate it for output: bytes,
 * nothing lost or repeated over a lost connection, which is made again by
 * itself. Reading is also what tells the shell to go on: under a flood it
 * waits for a reader, so that Ctrl-C is felt at once.
 */
export class Terminal implements AsyncIterable<Uint8Array> {
  /** Which of the seat's terminals it is. */
  readonly name: string;
  readonly #intake: Intake;
  readonly #scope: Scope;
  readonly #onEvent: ((event: TerminalEvent) => void) | undefined;
  #size: Size | undefined;
  /** The size that the present line was asked for with. */
  #askedSize: Size | undefined;
  /** What was allowed and forbidden while there was no line, by viewer. */
  readonly #unsaid = new Map<string, boolean>();
  #socket: Socket | undefined;
  readonly #news = new News();
  #over: { error: unknown } | undefined;
  #closed = false;
  #reading = false;
  #attached = false;
  #live = false;
  #taken: number | undefined;
  #instance: string | undefined;
  #acked = 0;
  #ackedAt = 0;

  private constructor(name: string, options: TerminalOptions) {
    if (!/^[a-z0-9-]{1,32}$/.test(name)) {
      throw invalid("name", "must be 1 to 32 of a-z, 0-9 and -", "BAD_TERMINAL");
    }
    const { cols, rows, offset, instance } = options;
    this.name = name;
    this.#size = cols === undefined && rows === undefined ? undefined : size(cols, rows);
    const known = offset !== undefined && instance !== undefined;
    this.#intake = new Intake(known ? { instance, offset } : undefined);
    this.#onEvent = options.onEvent;
    this.#scope = new Scope({ signal: options.signal });
  }

  /** Used by `Seat.terminal`: resolves once it is attached. */
  static async open(access: Access, name: string, options: TerminalOptions): Promise<Terminal> {
    options.signal?.throwIfAborted();
    const terminal = new Terminal(name, options);
    terminal.#keep(access);
    while (!terminal.#attached && terminal.#over === undefined) await terminal.#news.next;
    if (!terminal.#attached && terminal.#over?.error !== undefined) throw terminal.#over.error;
    return terminal;
  }

  /** Bytes of the shell's output up to what was read, to continue there; undefined before any. */
  get offset(): number | undefined {
    return this.#taken;
  }

  /** The shell: another name for every shell and every restore of one. */
  get instance(): string {
    return this.#instance ?? this.#intake.instance;
  }

  /** Whether what is read is new. Until then, drop what a screen answers by itself to a replay. */
  get live(): boolean {
    return this.#live;
  }

  /** What the shell ended with, once it has. */
  get exitCode(): number | undefined {
    return this.#intake.exitCode;
  }

  /** The next output; undefined once the shell has ended or this was closed. */
  async read(): Promise<Uint8Array | undefined> {
    if (this.#reading) {
      throw new ConflictError("the terminal is being read elsewhere: read it in one place", {
        reason: "TERMINAL_BUSY",
      });
    }
    this.#reading = true;
    try {
      this.#acknowledge();
      for (;;) {
        const item = this.#scope.signal.aborted ? undefined : this.#intake.take();
        if (item?.data !== undefined) {
          this.#taken = item.offset;
          return item.data;
        }
        if (item !== undefined) {
          this.#happened(item.event);
          continue;
        }
        if (this.#over?.error !== undefined) throw this.#over.error;
        if (this.#over !== undefined) return undefined;
        // Whoever waits for room may go on.
        this.#news.tell();
        await this.#news.next;
      }
    } finally {
      this.#reading = false;
    }
  }

  /** Output until the shell ends or this is closed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for (let bytes = await this.read(); bytes !== undefined; bytes = await this.read()) yield bytes;
  }

  /** Reads until the shell has said `wanted`, and gives all of it; what follows stays unread. */
  async readUntil(wanted: string): Promise<string> {
    const decoder = new TextDecoder();
    let said = "";
    while (!said.includes(wanted)) {
      const bytes = await this.read();
      if (bytes === undefined) {
        throw new ConflictError(`the shell ended before it said ${JSON.stringify(wanted)}`, {
          reason: "SHELL_ENDED",
        });
      }
      said += decoder.decode(bytes, { stream: true });
    }
    return said;
  }

  /** Types. Waits while there is no connection, or while the network is behind. */
  async write(data: string | Uint8Array, options: { signal?: AbortSignal } = {}): Promise<void> {
    const { signal } = options;
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    for (let at = 0; at < bytes.length; at += CHUNK) {
      let socket = await this.#connected(signal);
      while (socket.bufferedAmount > AHEAD) {
        await pause(10, signal);
        socket = await this.#connected(signal);
      }
      socket.send(bytes.subarray(at, at + CHUNK));
    }
  }

  /** Gives the terminal a size in cells: 2 to 500 columns, 1 to 300 rows. Observers' do nothing. */
  resize(cols: number, rows: number): void {
    this.#size = size(cols, rows);
    this.#say({ type: "resize", cols, rows });
  }

  /** Lets a helper type in all of the seat's terminals, or no longer. */
  consent(viewer: string, allow: boolean): void {
    if (this.#socket === undefined) this.#unsaid.set(viewer, allow);
    else this.#say({ type: "consent", viewer, allow });
  }

  /** Lets go; the shell lives on. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#scope.abort();
    while (this.#over === undefined) await this.#news.next;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #keep(access: Access): void {
    const { signal } = this.#scope;
    const user = {
      query: (): string => this.#query(),
      data: (bytes: Uint8Array): void => {
        this.#intake.data(bytes);
        // Whoever reads nothing must not fill this machine's memory.
        if (this.#intake.full) this.#socket?.close();
        this.#news.tell();
      },
      control: (text: string): void => {
        if (this.#intake.control(text)?.type === "attached") this.#attached = true;
        this.#news.tell();
      },
      connected: (socket: Socket): void => {
        this.#socket = socket;
        this.#catchUp();
        this.#news.tell();
      },
      disconnected: (code: number, reason: string): void => {
        this.#socket = undefined;
        this.#intake.event({ type: "disconnected", code, reason });
        this.#news.tell();
      },
      room: async (): Promise<void> => {
        while (this.#intake.full) await unlessAborted(this.#news.next, signal);
      },
    };
    keepLine(access, user, signal)
      .then(
        () => ({ error: undefined }),
        (error) => ({ error: this.#closed ? undefined : error }),
      )
      .then((over) => {
        this.#socket = undefined;
        this.#over = over;
        this.#scope.close();
        this.#news.tell();
      });
  }

  #query(): string {
    const query = new URLSearchParams({ terminal: this.name });
    const { resume } = this.#intake;
    if (resume !== undefined) {
      query.set("instance", resume.instance);
      query.set("offset", String(resume.offset));
    }
    this.#askedSize = this.#size;
    if (this.#size !== undefined) {
      query.set("cols", String(this.#size.cols));
      query.set("rows", String(this.#size.rows));
    }
    return query.toString();
  }

  /** Says on a new line what was said while it was being made. */
  #catchUp(): void {
    if (this.#size !== undefined && this.#size !== this.#askedSize) {
      this.#say({ type: "resize", ...this.#size });
    }
    for (const [viewer, allow] of this.#unsaid) this.#say({ type: "consent", viewer, allow });
    this.#unsaid.clear();
  }

  #happened(event: TerminalEvent): void {
    if (event.type === "live") this.#live = true;
    if (event.type === "attached" || event.type === "repaint") this.#live = false;
    if (event.type === "attached") this.#instance = event.instance;
    if (event.type === "restarted") {
      this.#acked = 0;
      this.#taken = 0;
    }
    this.#onEvent?.(event);
  }

  /** What was handed out before this read has been dealt with. */
  #acknowledge(): void {
    if (this.#taken === undefined || this.#taken === this.#acked) return;
    const now = performance.now();
    const due = this.#taken - this.#acked >= ACK_EVERY || now - this.#ackedAt >= ACK_MS;
    if (!due) return;
    this.#acked = this.#taken;
    this.#ackedAt = now;
    this.#say({ type: "ack", offset: this.#taken });
  }

  #say(control: Record<string, unknown>): void {
    this.#socket?.send(JSON.stringify(control));
  }

  async #connected(signal: AbortSignal | undefined): Promise<Socket> {
    for (;;) {
      signal?.throwIfAborted();
      if (this.#over?.error !== undefined) throw this.#over.error;
      if (this.#over !== undefined || this.#closed) {
        throw new ConflictError("the terminal is closed, or its shell has ended: open another", {
          reason: this.exitCode === undefined ? "CLOSED" : "SHELL_ENDED",
        });
      }
      if (this.#socket !== undefined) return this.#socket;
      await unlessAborted(this.#news.next, signal);
    }
  }
}
