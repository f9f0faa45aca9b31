import type { TransferOptions, TransferResult } from "./file_types.js";

/** Counts what a transfer moves, and tells `onProgress`. */
export class Tally {
  #bytes = 0;
  #files = 0;
  readonly #bytesTotal: number;
  readonly #filesTotal: number;
  readonly #options: TransferOptions;

  /** Of files with these sizes, in bytes. */
  constructor(sizes: readonly number[], options: TransferOptions) {
    this.#bytesTotal = sizes.reduce((sum, size) => sum + size, 0);
    this.#filesTotal = sizes.length;
    this.#options = options;
  }

  /** So many more bytes of `path`; fewer when it began again. */
  bytes(path: string, more: number): void {
    this.#bytes += more;
    this.#tell(path);
  }

  /** `path` is complete. */
  file(path: string): void {
    this.#files += 1;
    this.#tell(path);
  }

  /** What it came to. */
  result(skipped: readonly string[]): TransferResult {
    return { files: this.#files, bytes: this.#bytes, skipped };
  }

  #tell(path: string): void {
    this.#options.onProgress?.({
      path,
      bytesDone: this.#bytes,
      // A file may have grown since it was listed.
      bytesTotal: Math.max(this.#bytesTotal, this.#bytes),
      filesDone: this.#files,
      filesTotal: this.#filesTotal,
    });
  }
}
