// One tab's shell: a screen that stays, and the line to the seat behind it.

import {
  ConflictError,
  ConnectionLostError,
  type Terminal as Line,
  type TerminalEvent,
} from "@clarateach/sdk";
import { effect, signal } from "@preact/signals";
import type { FitAddon } from "@xterm/addon-fit";
import type { SerializeAddon } from "@xterm/addon-serialize";
import type { Terminal } from "@xterm/xterm";
import { dark } from "../../app/theme.js";
import { Bottom } from "./bottom.js";
import { COLOURS } from "./colours.js";
import { Drawing } from "./drawing.js";
import { keepScreen, type Screen, takeScreen } from "./memory.js";
import { offered } from "./offer.js";
import { makeScreen, rule } from "./screen.js";
import { settings } from "./settings.js";
import type { Source, State } from "./state.js";

/**
 * So many bytes may be read and not drawn: more than a screen takes in at once (twelve
 * milliseconds of them), or it would run dry and wait for a timer each time.
 */
const AHEAD = 512 * 1024;
/** Waits for a pane to be still before the shell is told of its size, in milliseconds. */
const STILL_MS = 80;

/** A terminal of the seat. */
export class Shell {
  readonly name: string;
  readonly state = signal<State>({ is: "opening" });
  /** Who looks on besides the learner. */
  readonly watching = signal<Extract<TerminalEvent, { type: "viewers" }>["watching"]>([]);
  /** Whose hand typed last; undefined until somebody did, or where the guest does not say. */
  readonly typing = signal<Extract<TerminalEvent, { type: "viewers" }>["typing"]>(undefined);
  /** Viewers of it, this one included. */
  readonly viewers = signal(1);
  /** Set when another viewer chose the size. */
  readonly foreign = signal<string | undefined>(undefined);
  readonly screen: Terminal;
  readonly #drawing: Drawing;
  readonly #bottom: Bottom;
  /** Why keys were not taken, when they last were not. */
  readonly refused = signal("");
  /** A text that a program wants to have copied, until somebody says. */
  readonly offer = signal("");
  readonly #seat: Source;
  readonly #follows: boolean;
  readonly #fit: FitAddon;
  readonly #serialize: SerializeAddon;
  readonly #stops: (() => void)[] = [];
  readonly #over = new AbortController();
  #line: Line | undefined;
  #drawn: { instance: string; offset: number } | undefined;
  /** Bytes that were read and not drawn yet. */
  #ahead = 0;
  #wake: (() => void) | undefined;
  /** Whether what is drawn is new, and not a replay. */
  #live = false;
  /** How often the line was cut. */
  #cuts = 0;
  #wanted: { cols: number; rows: number } | undefined;
  #still: ReturnType<typeof setTimeout> | undefined;

  /** `follows`: its size is the learner's to choose, and nothing of it is kept. */
  constructor(seat: Source, name: string, { follows = false } = {}) {
    this.name = name;
    this.#seat = seat;
    this.#follows = follows;
    const { screen, fit, serialize } = makeScreen();
    this.screen = screen;
    this.#fit = fit;
    this.#serialize = serialize;
    this.#drawing = new Drawing(this.screen);
    this.#bottom = new Bottom(this.screen);
    this.screen.onData((text) => this.#typed(text));
    this.screen.onBinary((text) => this.#typed(Uint8Array.from(text, (c) => c.charCodeAt(0))));
    this.screen.parser.registerOscHandler(52, (sequence) => {
      // What was offered before a reload was answered then.
      const text = this.#live && !follows ? offered(sequence) : undefined;
      if (text) this.offer.value = text;
      return true;
    });
    const kept = follows ? undefined : takeScreen(this.#key);
    if (kept) this.#recall(kept);
    const keep = (): void => this.#remember();
    window.addEventListener("pagehide", keep);
    this.#stops.push(
      () => window.removeEventListener("pagehide", keep),
      effect(() => {
        this.screen.options.theme = COLOURS[dark.value ? "dark" : "light"];
      }),
      effect(() => {
        const { fontSize, screenReader } = settings.value;
        this.screen.options.fontSize = fontSize;
        this.screen.options.screenReaderMode = screenReader;
        this.fit();
      }),
      effect(() => {
        // What is typed while the line is cut would arrive much later.
        this.screen.options.disableStdin = this.state.value.is !== "live";
      }),
    );
  }

  /** Puts the screen into the page, once, and opens the line. */
  open(place: HTMLElement): void {
    this.screen.open(place);
    this.#bottom.watch(place);
    const watch = new ResizeObserver(() => {
      clearTimeout(this.#still);
      this.#still = setTimeout(() => this.fit(), STILL_MS);
    });
    watch.observe(place);
    this.#stops.push(() => watch.disconnect());
    this.fit();
    void this.connect();
  }

  /** Its pane is in front. */
  show(): void {
    this.#drawing.show();
    this.fit();
    this.#bottom.show();
  }

  /** Another's is. */
  hide(): void {
    this.#bottom.hide();
    this.#drawing.hide();
  }

  /** Asks for the size that fits; a hidden pane asks for nothing. */
  fit(): void {
    if (this.#follows) return;
    const place = this.screen.element?.parentElement;
    if (!place?.clientWidth || !place.clientHeight) return;
    const fits = this.#fit.proposeDimensions();
    if (!fits || !Number.isFinite(fits.cols) || !Number.isFinite(fits.rows)) return;
    const cols = Math.min(Math.max(fits.cols, 2), 500);
    const rows = Math.min(Math.max(fits.rows, 1), 300);
    if (this.#wanted?.cols === cols && this.#wanted.rows === rows) return;
    this.#wanted = { cols, rows };
    // Without a line nobody says otherwise; with one, its word counts.
    if (this.#line) this.#line.resize(cols, rows);
    else this.#bottom.over(() => this.screen.resize(cols, rows));
  }

  /** Opens the line, and draws what comes until the shell ends. */
  async connect(): Promise<void> {
    const { signal } = this.#over;
    let again = false;
    if (this.state.value.is !== "away") this.state.value = { is: "opening" };
    try {
      const line = await this.#seat.terminal(this.name, {
        ...this.#wanted,
        ...this.#drawn,
        signal,
        onEvent: (event) => this.#happened(event),
      });
      this.#line = line;
      for await (const bytes of line) {
        this.#draw(bytes, { instance: line.instance, offset: line.offset ?? 0 });
        // Reading on says how far the learner is: never much further than the screen.
        while (this.#ahead > AHEAD) await new Promise<void>((wake) => (this.#wake = wake));
      }
      await new Promise<void>((drawn) => this.screen.write("", drawn));
      this.#drawn = undefined;
      this.state.value = { is: "ended", code: line.exitCode };
    } catch (error) {
      if (signal.aborted) return;
      // Given up after minutes of silence; who has the page open waits on.
      again = error instanceof ConnectionLostError;
      if (again) return;
      const why = error instanceof Error ? error.message : String(error);
      this.state.value = { is: "lost", why };
    } finally {
      this.#line = undefined;
      this.#live = false;
      if (again) void this.connect();
    }
  }

  /** A key of the row below the screen, as if it had been pressed. */
  press(keys: string): void {
    this.screen.input(keys);
    this.screen.focus();
  }

  /** Types for the learner, as an instruction's block does. */
  async type(text: string): Promise<void> {
    this.screen.scrollToBottom();
    await this.#line?.write(text);
  }

  /** Lets a helper type, or no longer. */
  consent(viewer: string, allow: boolean): void {
    this.#line?.consent(viewer, allow);
  }

  /** Lets go of the screen; the shell lives on. */
  close(): void {
    this.#over.abort();
    clearTimeout(this.#still);
    for (const stop of this.#stops) stop();
    this.hide();
    this.screen.dispose();
  }

  get #key(): string {
    return `${this.#seat.workshopId}.${this.#seat.number}.${this.name}`;
  }

  #typed(data: string | Uint8Array): void {
    // A screen answers questions of programs by itself: in a replay they were answered long ago.
    if (!this.#live || !this.#line) return;
    this.#line.write(data).catch((error) => {
      if (!(error instanceof ConflictError)) console.warn("a key was not sent", error);
    });
  }

  #draw(bytes: Uint8Array, at: { instance: string; offset: number }): void {
    this.#ahead += bytes.length;
    this.screen.write(bytes, () => {
      this.#ahead -= bytes.length;
      this.#drawn = at;
      if (this.#ahead <= AHEAD) this.#wake?.();
    });
  }

  /** Heard in order with output that is drawn later: what concerns the screen waits its turn. */
  #happened(event: TerminalEvent): void {
    const cuts = this.#cuts;
    const inTurn = (does: () => void): void => this.screen.write("", does);
    switch (event.type) {
      case "attached":
        this.#live = false;
        this.viewers.value = event.viewers;
        inTurn(() => this.#sized(event.cols, event.rows));
        break;
      case "resized":
        inTurn(() => this.#sized(event.cols, event.rows));
        break;
      case "live":
        inTurn(() => {
          // The line may have been cut while the replay was drawn.
          if (cuts !== this.#cuts) return;
          this.#live = true;
          this.state.value = { is: "live" };
        });
        break;
      case "repaint":
        this.#live = false;
        if (!this.#drawn) break;
        // The painting is of the whole screen.
        inTurn(() => this.screen.reset());
        if (event.lost > 0) rule(this.screen, `${event.lost} bytes of output are gone`);
        break;
      case "restarted":
        rule(this.screen, "a new shell: the machine or the shell was started again");
        break;
      case "viewers":
        this.viewers.value = event.count;
        this.watching.value = event.watching;
        this.typing.value = event.typing;
        break;
      case "refused":
        this.refused.value = event.reason;
        break;
      case "disconnected":
        // At once: from now on nothing that is typed arrives.
        this.#cuts += 1;
        this.#live = false;
        if (this.state.value.is !== "away") this.state.value = { is: "away", since: Date.now() };
        break;
      default:
    }
  }

  #sized(cols: number, rows: number): void {
    if (cols < 1 || rows < 1) return;
    if (cols !== this.screen.cols || rows !== this.screen.rows) {
      this.#bottom.over(() => this.screen.resize(cols, rows));
    }
    const wanted = this.#wanted;
    const ours = !wanted || (wanted.cols === cols && wanted.rows === rows);
    this.foreign.value = ours ? undefined : `${cols} × ${rows}`;
  }

  #remember(): void {
    const at = this.#drawn;
    if (!at || this.#follows) return;
    const { cols, rows } = this.screen;
    const drawn = this.#serialize.serialize({ scrollback: 2_000 });
    keepScreen(this.#key, { ...at, cols, rows, drawn });
  }

  #recall({ instance, offset, cols, rows, drawn }: Screen): void {
    this.screen.resize(cols, rows);
    this.screen.write(drawn);
    this.#drawn = { instance, offset };
  }
}
