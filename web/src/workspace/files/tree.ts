// What is known of the learner's folders. Pure of looks: the tree draws it.

import { ClarateachError, type FileEntry, FileMissingError, type Seat } from "@clarateach/sdk";
import { computed, signal } from "@preact/signals";
import { read, write } from "../../app/keep.js";

/** One visible line of the tree. */
export interface Row {
  readonly entry: FileEntry;
  /** From 1, as assistive technology counts. */
  readonly level: number;
  readonly open: boolean;
  /** Its place among its siblings, and how many they are. */
  readonly at: number;
  readonly of: number;
}

/** Folders with more are shown so far, and say so. */
export const SHOWN = 2_000;

/** The folders that are open, and what is in them. */
export class Tree {
  readonly #seat: Seat;
  /** Contents of folders that were read, by path; "" is the workspace. */
  readonly folders = signal<ReadonlyMap<string, readonly FileEntry[]>>(new Map());
  readonly open = signal<ReadonlySet<string>>(new Set());
  /** The line that keys move from. */
  readonly selected = signal("");
  /** The folder that something is held over, to be dropped. */
  readonly target = signal<string | undefined>(undefined);
  /** What went wrong last, for people. */
  readonly trouble = signal("");
  readonly rows = computed(() => this.#rows("", 1));
  #reading: Promise<void> | undefined;
  /** Whether the trouble is that the workspace could not be read. */
  #unread = false;

  constructor(seat: Seat) {
    this.#seat = seat;
    this.open.value = new Set(read<string[]>(this.#key) ?? []);
  }

  /** The entry at a path, if its folder was read. */
  find(path: string): FileEntry | undefined {
    return this.folders.value.get(parent(path))?.find((entry) => entry.path === path);
  }

  /** Reads all open folders again; those that ask meanwhile share it. */
  refresh(): Promise<void> {
    this.#reading ??= this.#refresh().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  /** Opens or closes a folder. */
  async toggle(path: string, wanted?: boolean): Promise<void> {
    const open = new Set(this.open.value);
    if (wanted ?? !open.has(path)) open.add(path);
    else open.delete(path);
    this.open.value = open;
    write(this.#key, open.size > 0 ? [...open] : undefined);
    if (open.has(path)) await this.#read(path);
  }

  /** Does something to files, shows what goes wrong, and looks again. Whether it went well. */
  async act(what: string, does: () => Promise<void>): Promise<boolean> {
    this.trouble.value = "";
    try {
      await does();
      return true;
    } catch (error) {
      if (!(error instanceof ClarateachError)) throw error;
      this.trouble.value = `${what}: ${error.message}`;
      return false;
    } finally {
      await this.refresh();
    }
  }

  async #refresh(): Promise<void> {
    await this.#read("");
    await Promise.all([...this.open.value].map((path) => this.#read(path)));
  }

  async #read(path: string): Promise<void> {
    try {
      const entries: FileEntry[] = [];
      for await (const entry of this.#seat.files.entries(path)) {
        entries.push(entry);
        if (entries.length >= SHOWN) break;
      }
      entries.sort(byKind);
      const folders = new Map(this.folders.value);
      folders.set(path, entries);
      this.folders.value = folders;
      // What went wrong otherwise stays to be read.
      if (path === "" && this.#unread) this.trouble.value = "";
      if (path === "") this.#unread = false;
    } catch (error) {
      if (!(error instanceof ClarateachError)) throw error;
      if (path !== "" && error instanceof FileMissingError) this.#forget(path);
      else if (path === "") {
        this.#unread = true;
        this.trouble.value = `Files: ${error.message}`;
      }
    }
  }

  #forget(path: string): void {
    const folders = new Map(this.folders.value);
    folders.delete(path);
    this.folders.value = folders;
    const open = new Set(this.open.value);
    open.delete(path);
    this.open.value = open;
  }

  #rows(folder: string, level: number): Row[] {
    const entries = this.folders.value.get(folder) ?? [];
    return entries.flatMap((entry, index) => {
      const open = entry.type === "directory" && this.open.value.has(entry.path);
      const row = { entry, level, open, at: index + 1, of: entries.length };
      return open ? [row, ...this.#rows(entry.path, level + 1)] : [row];
    });
  }

  get #key(): string {
    return `folders.${this.#seat.workshopId}.${this.#seat.number}`;
  }
}

/** The folder that something is in. */
export function parent(path: string): string {
  return path.split("/").slice(0, -1).join("/");
}

function byKind(a: FileEntry, b: FileEntry): number {
  const folders = Number(b.type === "directory") - Number(a.type === "directory");
  return folders || a.name.localeCompare(b.name, undefined, { numeric: true });
}
