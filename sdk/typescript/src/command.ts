import type { Access } from "./access.js";
import { fromBase64, toBase64 } from "./base64.js";
import { Scope } from "./cancel.js";
import { type Duration, invalid, milliseconds } from "./duration.js";
import { CommandFailedError, ConnectionLostError } from "./errors.js";
import { broken } from "./faults.js";
import { lines } from "./lines.js";

/** Of a command whose caller says nothing: as long as the server allows, in seconds. */
const LONGEST_S = 24 * 60 * 60;

/** How to start a command. */
export interface CommandOptions {
  /** Where it runs; relative to the workspace, which is the default. */
  readonly cwd?: string;
  /** Added to the learner's login environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Its standard input; nothing when absent. At most 6 MiB: put more into a file. */
  readonly stdin?: string | Uint8Array;
  /** Then it is killed; whole seconds, at most a day, which is the default. */
  readonly timeout?: Duration;
  /** Ends the command, with everything it started. */
  readonly signal?: AbortSignal | undefined;
}

/** How to run a command to its end. */
export interface RunOptions extends CommandOptions {
  /** Throw CommandFailedError when it ends with another exit code than 0. */
  readonly check?: boolean;
  /** Told of every piece of output as it comes. */
  readonly onOutput?: (piece: CommandOutput) => void;
}

/** A piece of what a command wrote. */
export interface CommandOutput {
  readonly stream: "stdout" | "stderr";
  readonly data: Uint8Array;
}

/** How a command ended. */
export interface CommandEnd {
  /** Its exit code; null when a signal ended it. */
  readonly exitCode: number | null;
  /** The signal that ended it, such as `SIGKILL`. */
  readonly signal: string | undefined;
  /** Whether it was killed because its time was over. */
  readonly timedOut: boolean;
}

/** What a command did. Bytes that are no UTF-8 are shown as U+FFFD. */
export interface CommandResult extends CommandEnd {
  /** Standard output and standard error as they came. */
  readonly output: string;
  /** Its standard output. */
  readonly stdout: string;
  /** Its standard error. */
  readonly stderr: string;
  /** What it said, as bytes, in the order in which it arrived. */
  readonly pieces: readonly CommandOutput[];
}

/** A command that runs. Iterate it once for its output, then `wait()` says how it ended. */
export class Command implements AsyncIterable<CommandOutput> {
  readonly #scope: Scope;
  readonly #url: string;
  readonly #body: ReadableStream<Uint8Array>;
  #end: CommandEnd | undefined;
  #read = false;

  private constructor(scope: Scope, url: string, body: ReadableStream<Uint8Array>) {
    this.#scope = scope;
    this.#url = url;
    this.#body = body;
  }

  /** Used by `Seat.start`. */
  static async start(
    access: Access,
    command: string | readonly string[],
    options: CommandOptions,
  ): Promise<Command> {
    const ms = options.timeout === undefined ? undefined : milliseconds(options.timeout, "timeout");
    const { cwd, env, stdin } = options;
    const order = {
      ...(typeof command === "string" ? { command } : { argv: command }),
      cwd,
      env,
      stdin: stdin === undefined ? undefined : toBase64(stdin),
      timeout_seconds: ms === undefined ? LONGEST_S : Math.max(1, Math.ceil(ms / 1000)),
    };
    if (command.length === 0) throw invalid("command", "must not be empty");
    const scope = new Scope({ signal: options.signal });
    try {
      const answer = await access.ask("exec", "", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(order),
        signal: scope.signal,
        idempotent: false,
      });
      const body = answer.body ?? new ReadableStream<Uint8Array>();
      return new Command(scope, access.endpoint("exec").url, body);
    } catch (error) {
      scope.close();
      throw error;
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<CommandOutput, void, undefined> {
    if (this.#read) return;
    this.#read = true;
    try {
      for await (const line of lines(this.#body)) {
        const said = JSON.parse(line) as Line;
        if (said.stdout !== undefined) yield { stream: "stdout", data: fromBase64(said.stdout) };
        else if (said.stderr !== undefined)
          yield { stream: "stderr", data: fromBase64(said.stderr) };
        else this.#end = endOf(said);
      }
    } catch (thrown) {
      const { signal } = this.#scope;
      if (signal.aborted && signal.reason !== KILLED) throw signal.reason;
      if (!signal.aborted) throw broken(thrown, this.#url, "a command");
    } finally {
      // Who reads no further wants no more of it.
      if (this.#end === undefined) this.kill();
      this.#scope.close();
    }
  }

  /** Its end; output that nobody has read is passed over. */
  async wait(): Promise<CommandEnd> {
    for await (const _ of this);
    if (this.#end !== undefined) return this.#end;
    if (this.#scope.signal.reason === KILLED) {
      return { exitCode: null, signal: "SIGKILL", timedOut: false };
    }
    throw new ConnectionLostError(
      "the connection ended before the command: what it did is not known",
      {
        reason: "CONNECTION_LOST",
      },
    );
  }

  /** Its end, with all of its output. */
  async result({ check = false, onOutput }: RunOptions = {}): Promise<CommandResult> {
    const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
    const texts = { stdout: "", stderr: "" };
    const pieces: CommandOutput[] = [];
    let output = "";
    for await (const piece of this) {
      onOutput?.(piece);
      pieces.push(piece);
      const text = decoders[piece.stream].decode(piece.data, { stream: true });
      texts[piece.stream] += text;
      output += text;
    }
    const rest = { stdout: decoders.stdout.decode(), stderr: decoders.stderr.decode() };
    const stdout = texts.stdout + rest.stdout;
    const stderr = texts.stderr + rest.stderr;
    output += rest.stdout + rest.stderr;
    const result = { ...(await this.wait()), output, stdout, stderr, pieces };
    if (check && result.exitCode !== 0) {
      const { exitCode, signal, timedOut } = result;
      const how = timedOut ? "its time was over" : (signal ?? `exit code ${exitCode}`);
      const last = stderr.trimEnd().split("\n").at(-1);
      throw new CommandFailedError(`the command failed (${how})${last ? `: ${last}` : ""}`, result);
    }
    return result;
  }

  /** Ends it, with everything it started. */
  kill(): void {
    this.#scope.abort(KILLED);
    // A body that nobody reads would keep its connection; one being read ends by the signal.
    if (!this.#body.locked) this.#body.cancel().catch(() => undefined);
  }
}

const KILLED = Symbol("killed");

interface Line {
  stdout?: string;
  stderr?: string;
  exit_code?: number;
  signal?: string;
  timed_out?: boolean;
}

function endOf(line: Line): CommandEnd {
  return {
    exitCode: line.exit_code ?? null,
    signal: line.signal,
    timedOut: line.timed_out ?? false,
  };
}
