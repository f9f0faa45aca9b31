// Open files: what they were, what they are, and whether somebody else wrote meanwhile.

import {
  ClarateachError,
  ConflictError,
  type FileEntry,
  FileMissingError,
  type Seat,
} from "@clarateach/sdk";
import { computed, type Signal, signal } from "@preact/signals";
import { endingOf } from "./endings.js";

/** Larger files, and those that are no text, are looked at and not edited. */
const EDITED = 2 * 1024 * 1024;
/** Of those larger ones so much is shown. */
const LOOKED_AT = 256 * 1024;
const MIXED =
  "Its lines do not all end alike, and a save would change that: it cannot be edited here.";

/** Somebody else's version of a file that was changed here. */
export interface Conflict {
  /** Their text; undefined when they removed the file. */
  readonly theirs: string | undefined;
  readonly etag: string;
}

/** One open file. */
export interface Doc {
  readonly path: string;
  /** As the seat has it, as far as is known here. */
  readonly saved: string;
  readonly etag: string;
  /** Why it cannot be edited; undefined when it can. */
  readonly readOnly: string | undefined;
  /** As it is in the editor. */
  readonly text: Signal<string>;
  /** Grows when `text` was replaced from outside the editor. */
  readonly replaced: Signal<number>;
  readonly conflict: Signal<Conflict | undefined>;
  readonly busy: Signal<boolean>;
}

/** The files that are open, and the one in front. */
export class Documents {
  readonly #seat: Seat;
  readonly list = signal<readonly Doc[]>([]);
  readonly front = signal<string | undefined>(undefined);
  readonly trouble = signal("");
  readonly now = computed(() => this.list.value.find(({ path }) => path === this.front.value));
  /** Whether anything would be lost with this page. */
  readonly unsaved = computed(() => this.list.value.some(dirty));

  constructor(seat: Seat) {
    this.#seat = seat;
  }

  /** Opens a file, or brings it to the front. */
  async open(entry: FileEntry): Promise<void> {
    const { path } = entry;
    if (this.list.value.some((doc) => doc.path === path)) {
      this.front.value = path;
      return;
    }
    await this.#try(`Open ${path}`, async () => {
      // Before its text: should it change in between, the next save says so.
      const etag = await this.#seat.files.etag(path);
      const doc = await this.#load(path, entry.size, etag);
      if (!this.list.value.some((other) => other.path === path)) {
        this.list.value = [...this.list.value, doc];
      }
      this.front.value = path;
    });
  }

  /** Writes a file back, unless somebody else wrote it: then the choice is the learner's. */
  async save(doc: Doc, over?: string): Promise<void> {
    if (doc.busy.value || doc.readOnly !== undefined) return;
    doc.busy.value = true;
    const text = doc.text.value;
    try {
      await this.#try(`Save ${doc.path}`, async () => {
        try {
          const condition = over === "" ? { create: true } : { ifMatch: over ?? doc.etag };
          const etag = await this.#seat.files.write(doc.path, text, condition);
          doc.conflict.value = undefined;
          this.#replace(doc, { saved: text, etag });
        } catch (error) {
          const changed = error instanceof ConflictError || error instanceof FileMissingError;
          if (!changed) throw error;
          doc.conflict.value = await this.#theirs(doc.path);
        }
      });
    } finally {
      // Also when `#try` passes a fault on: the file could never be saved again.
      doc.busy.value = false;
    }
  }

  /** Mine over theirs. */
  async keepMine(doc: Doc): Promise<void> {
    const conflict = doc.conflict.value;
    if (conflict) await this.save(doc, conflict.etag);
  }

  /** Theirs instead of mine. */
  takeTheirs(doc: Doc): void {
    const conflict = doc.conflict.value;
    doc.conflict.value = undefined;
    if (!conflict) return;
    if (conflict.theirs === undefined) {
      this.close(doc.path);
      return;
    }
    doc.text.value = conflict.theirs;
    doc.replaced.value += 1;
    const readOnly = endingOf(conflict.theirs) === undefined ? MIXED : undefined;
    this.#replace(doc, { saved: conflict.theirs, etag: conflict.etag, readOnly });
  }

  /** Closes a file, with what was not saved. */
  close(path: string): void {
    const before = this.list.value;
    const at = before.findIndex((doc) => doc.path === path);
    if (at < 0) return;
    const rest = before.filter((doc) => doc.path !== path);
    this.list.value = rest;
    if (this.front.value === path) this.front.value = rest[Math.max(0, at - 1)]?.path;
  }

  /** Follows files that were moved, also within a folder; forgets those that were removed and not changed here. */
  moved(from: string, to: string | undefined): void {
    for (const doc of this.list.value) {
      if (doc.path !== from && !doc.path.startsWith(`${from}/`)) continue;
      if (to === undefined) {
        if (!dirty(doc)) this.close(doc.path);
        continue;
      }
      const path = to + doc.path.slice(from.length);
      if (this.front.value === doc.path) this.front.value = path;
      this.#replace(doc, { path });
    }
  }

  async #load(path: string, size: number, etag: string): Promise<Doc> {
    const large = size > EDITED;
    const bytes = large ? await this.#begin(path) : await this.#seat.files.read(path);
    const text = asText(bytes);
    const readOnly =
      text === undefined
        ? "It is no text: download it to look at it."
        : large
          ? "It is large: only its beginning is shown, and it cannot be edited here."
          : endingOf(text) === undefined
            ? MIXED
            : undefined;
    return {
      path,
      saved: text ?? "",
      etag,
      readOnly,
      text: signal(text ?? ""),
      replaced: signal(0),
      conflict: signal<Conflict | undefined>(undefined),
      busy: signal(false),
    };
  }

  async #begin(path: string): Promise<Uint8Array> {
    const reader = (await this.#seat.files.stream(path)).getReader();
    const pieces: Uint8Array[] = [];
    let length = 0;
    for (let got = await reader.read(); !got.done; got = await reader.read()) {
      pieces.push(got.value);
      length += got.value.length;
      if (length >= LOOKED_AT) break;
    }
    await reader.cancel().catch(() => undefined);
    const whole = new Uint8Array(await new Blob(pieces as BlobPart[]).arrayBuffer());
    // To the end of a line: half a character would look like no text.
    return whole.subarray(0, whole.lastIndexOf(10) + 1 || whole.length);
  }

  async #theirs(path: string): Promise<Conflict> {
    try {
      const etag = await this.#seat.files.etag(path);
      return { etag, theirs: await this.#seat.files.readText(path) };
    } catch (error) {
      if (!(error instanceof FileMissingError)) throw error;
      return { etag: "", theirs: undefined };
    }
  }

  #replace(doc: Doc, change: Partial<Doc>): void {
    // By what it shares with its successors: it may have been replaced while a call ran.
    this.list.value = this.list.value.map((one) =>
      one.text === doc.text ? { ...one, ...change } : one,
    );
  }

  async #try(what: string, does: () => Promise<void>): Promise<void> {
    this.trouble.value = "";
    try {
      await does();
    } catch (error) {
      if (!(error instanceof ClarateachError)) throw error;
      this.trouble.value = `${what}: ${error.message}`;
    }
  }
}

/** Whether a file was changed here and not saved. */
export function dirty(doc: Doc): boolean {
  return doc.text.value !== doc.saved;
}

/** Bytes as text; undefined for what is none. */
export function asText(bytes: Uint8Array): string | undefined {
  if (bytes.subarray(0, 8192).includes(0)) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
