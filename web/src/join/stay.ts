import {
  AuthError,
  Client,
  NotFoundError,
  type Notice,
  type Seat,
  type SeatChange,
  UnavailableError,
} from "@clarateach/sdk";
import { batch, computed, type Signal, signal } from "@preact/signals";
import { awake } from "../app/awake.js";
import { read, write } from "../app/keep.js";
import { shared } from "../app/shared.js";
import { OVER, REVOKED, type Words, words } from "./words.js";

/** What this browser keeps of a seat: the way back to it. */
interface Kept {
  reconnectCode: string;
  name: string;
  /** Whether the learner has seen the code. */
  shown: boolean;
}

/** Where a learner is on their way in. */
export type Stage =
  | { at: "form"; words?: Words }
  | { at: "joining" }
  | { at: "stuck"; words: Words }
  | { at: "in"; seat: Seat };

/** A watch that was given up is begun again after so long, in milliseconds. */
const AGAIN_MS = 2_000;

/** A notice; two with the same words are two. */
export type Told = Notice & { readonly id: number };

/** What the tabs of one browser hear of a seat together. */
function newsOf(seat: Seat) {
  return {
    name: `seat.${seat.workshopId}.${seat.number}`,
    open: (signal: AbortSignal) => seat.watch({ signal }),
    // A tab that comes later missed no notice: it was not there.
    keep: (change: SeatChange) => ["seat", { ...change, notices: [] }] as const,
  };
}

/** One learner's stay in one workshop, from the code to the end. */
export class Stay {
  readonly code: string;
  readonly stage: Signal<Stage> = signal({ at: "form" });
  /** The seat as it was last heard of. */
  readonly update = signal<SeatChange | undefined>(undefined);
  /** Notices of the workshop, newest last. */
  readonly notices = signal<readonly Told[]>([]);
  /** The reconnect code, until the learner has seen it. */
  readonly unseen = signal<string | undefined>(undefined);
  /** Once the seat was ready its workspace stays, whatever the machine does. */
  readonly entered = signal(false);
  readonly ready = computed(() => this.update.value?.state === "ready");
  readonly #client = new Client();
  #again: ReturnType<typeof setTimeout> | undefined;
  #over = new AbortController();
  #told = 0;

  constructor(code: string) {
    this.code = code;
  }

  /** Comes back to the seat that this browser has, if it has one. */
  begin(): void {
    this.#over = new AbortController();
    const kept = this.#kept;
    if (kept) void this.join(kept.name, kept.reconnectCode);
  }

  /** The name that was used here before. */
  get name(): string {
    return this.#kept?.name ?? read<string>("name") ?? "";
  }

  /** Takes a seat, or with a reconnect code the same one again. */
  async join(name: string, reconnectCode = ""): Promise<void> {
    clearTimeout(this.#again);
    const before = this.stage.value;
    // A page that tries again by itself does not flicker.
    if (before.at === "form") this.stage.value = { at: "joining" };
    try {
      const signal = this.#over.signal;
      const seat = await this.#client.join(this.code, { name, reconnectCode, signal });
      const shown = reconnectCode !== "" && (this.#kept?.shown ?? true);
      if (!shown) this.unseen.value = seat.reconnectCode;
      this.#keep({ name, reconnectCode: seat.reconnectCode, shown });
      write("name", name || undefined);
      batch(() => {
        this.stage.value = { at: "in", seat };
        if (seat.state === "ready") this.entered.value = true;
      });
      void this.#watch(seat);
    } catch (error) {
      if (this.#over.signal.aborted) return;
      this.#refused(words(error), () => void this.join(name, reconnectCode));
      const { reason } = error as { reason?: string };
      if (reason === "RECONNECT_UNKNOWN" || reason === "CODE_UNKNOWN") this.#keep(undefined);
    }
  }

  /** The learner has the reconnect code now. */
  seen(): void {
    this.unseen.value = undefined;
    const kept = this.#kept;
    if (kept) this.#keep({ ...kept, shown: true });
  }

  /** Ends all that runs for it; the seat stays. */
  leave(): void {
    clearTimeout(this.#again);
    this.#over.abort();
    const stage = this.stage.value;
    if (stage.at === "in") stage.seat.close();
    this.stage.value = { at: "form" };
    this.update.value = undefined;
    this.entered.value = false;
  }

  async #watch(seat: Seat): Promise<void> {
    const over = this.#over.signal;
    try {
      // A page that nobody sees needs no stream, and tabs that are seen need one together.
      for await (const update of awake((signal) => shared(newsOf(seat), signal), over)) {
        this.#take(update);
        if (/^(deleting|deleted)$/.test(update.workshopStatus)) return this.#end(seat, OVER);
      }
      this.#end(seat, OVER);
    } catch (error) {
      if (over.aborted) return;
      if (this.entered.value && error instanceof UnavailableError) {
        // What is typed and not saved stays on the page, however long the line is cut.
        this.#again = setTimeout(() => void this.#watch(seat), AGAIN_MS);
        return;
      }
      const gone = error instanceof AuthError || error instanceof NotFoundError;
      if (!gone) {
        this.#refused(words(error), () => void this.join(this.name, seat.reconnectCode));
        return;
      }
      // Its token counts no more, and the code opens nothing: taken back, or over.
      this.#end(seat, error.reason === "WORKSHOP_OVER" ? OVER : REVOKED);
    }
  }

  #take(update: SeatChange): void {
    const back = update.state === "ready" && this.update.value?.state !== "ready";
    // What was taken away is there again: that it would be needs no saying any more.
    const before = this.notices.value.filter(({ kind }) => !(back && kind === "preempted"));
    const told = update.notices.map((notice) => ({ ...notice, id: ++this.#told }));
    if (told.length > 0 || before.length < this.notices.value.length) {
      this.notices.value = [...before, ...told].slice(-5);
    }
    this.update.value = update;
    if (update.state === "ready") this.entered.value = true;
  }

  #end(seat: Seat, why: Words): void {
    seat.close();
    this.#keep(undefined);
    this.entered.value = false;
    this.update.value = undefined;
    this.unseen.value = undefined;
    this.stage.value = why.form ? { at: "form", words: why } : { at: "stuck", words: why };
  }

  #refused(why: Words, again: () => void): void {
    this.stage.value = why.form ? { at: "form", words: why } : { at: "stuck", words: why };
    if (why.againMs !== undefined) this.#again = setTimeout(again, why.againMs);
  }

  get #kept(): Kept | undefined {
    return read<Kept>(`seat.${this.code}`);
  }

  #keep(kept: Kept | undefined): void {
    write(`seat.${this.code}`, kept);
  }
}
