import { ClarateachError, type Seat } from "@clarateach/sdk";
import { type Signal, signal } from "@preact/signals";
import type { Found } from "./drop.js";

/** One upload: a drop, or a choice of files. */
export interface Upload {
  readonly id: number;
  readonly title: string;
  readonly progress: Signal<Progress>;
  cancel(): void;
  retry(): void;
}

/** How far it is. */
export interface Progress {
  readonly bytes: number;
  readonly total: number;
  /** Why it stopped; undefined while it runs. */
  readonly failed?: string;
}

/** Uploads that run, or failed and wait for a word. */
export class Uploads {
  readonly list = signal<readonly Upload[]>([]);
  readonly #seat: Seat;
  #next = 1;

  constructor(seat: Seat) {
    this.#seat = seat;
  }

  /** Sends files into a folder; resolves when they are there, or it failed. */
  async send(found: readonly Found[], folder: string): Promise<void> {
    if (found.length === 0) return;
    const id = this.#next++;
    const total = found.reduce((sum, { file }) => sum + file.size, 0);
    const progress = signal<Progress>({ bytes: 0, total });
    const title = found.length === 1 ? (found[0]?.file.name ?? "") : `${found.length} files`;
    let abort = new AbortController();
    const drop = (): void => {
      this.list.value = this.list.value.filter((one) => one.id !== id);
    };
    const run = async (): Promise<void> => {
      abort = new AbortController();
      try {
        await this.#send(found, folder, abort.signal, (bytes) => {
          progress.value = { bytes, total };
        });
        drop();
      } catch (error) {
        if (abort.signal.aborted) return drop();
        progress.value = { bytes: 0, total, failed: why(error) };
      }
    };
    const retry = (): void => {
      progress.value = { bytes: 0, total };
      void run();
    };
    const cancel = (): void => {
      abort.abort();
      // One that failed runs no more.
      if (progress.value.failed) drop();
    };
    this.list.value = [...this.list.value, { id, title, progress, cancel, retry }];
    await run();
  }

  /** Folder after folder, four files at once in each. */
  async #send(
    found: readonly Found[],
    folder: string,
    signal: AbortSignal,
    tell: (bytes: number) => void,
  ): Promise<void> {
    let before = 0;
    for (const [below, some] of byFolder(found)) {
      const place = [folder, below].filter((part) => part !== "").join("/");
      const files = some.map(({ file }) => file);
      const onProgress = ({ bytesDone }: { bytesDone: number }): void => tell(before + bytesDone);
      const { bytes } = await this.#seat.files.upload(files, place, { signal, onProgress });
      before += bytes;
    }
  }
}

function byFolder(found: readonly Found[]): Map<string, Found[]> {
  const folders = new Map<string, Found[]>();
  for (const one of found) {
    const some = folders.get(one.folder);
    if (some) some.push(one);
    else folders.set(one.folder, [one]);
  }
  return folders;
}

function why(error: unknown): string {
  if (!(error instanceof ClarateachError)) return String(error);
  return error.reason === "DISK_FULL" ? "the seat's disk is full" : error.message;
}
