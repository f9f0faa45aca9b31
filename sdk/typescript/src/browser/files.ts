import { broken, fromRefusal } from "../faults.js";
import { Files, type TransferOptions, type WriteOptions } from "../files.js";
import { joinPaths, urlPath } from "../paths.js";

/** Files at once. */
const AT_ONCE = 4;

/** A learner's files, from a page. */
export class BrowserFiles extends Files {
  /**
   * Puts files into a folder: what an `<input type=file>` (with
   * `webkitdirectory` too) or a drop gives. Folders are made as needed.
   */
  async upload(files: Iterable<File>, folder = "", options: TransferOptions = {}): Promise<void> {
    const { signal, onProgress } = options;
    const waiting = Array.from(files, (file) => ({
      file,
      path: joinPaths(folder, file.webkitRelativePath || file.name),
    }));
    const total = waiting.reduce((sum, { file }) => sum + file.size, 0);
    const folders = new Set(waiting.map(({ path }) => path.split("/").slice(0, -1).join("/")));
    for (const needed of folders) await this.mkdir(needed, { signal });
    let [bytes, complete] = [0, 0];
    const next = async (): Promise<void> => {
      for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) {
        const { path, file } = one;
        let sent = 0;
        await this.#put(path, file, { signal }, (now) => {
          bytes += now - sent;
          sent = now;
          onProgress?.({ path, bytes, total, files: complete });
        });
        bytes += file.size - sent;
        complete += 1;
        onProgress?.({ path, bytes, total, files: complete });
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, next));
  }

  /** A whole file, for `URL.createObjectURL` or a save dialog. */
  async download(path: string, options: TransferOptions = {}): Promise<Blob> {
    const answer = await this.get(path, {}, options);
    const total = Number(answer.headers.get("content-length")) || undefined;
    const pieces: BlobPart[] = [];
    let bytes = 0;
    try {
      const reader = answer.body?.getReader();
      for (let got = await reader?.read(); got && !got.done; got = await reader?.read()) {
        pieces.push(got.value as BlobPart);
        bytes += got.value.length;
        options.onProgress?.({ path, bytes, total, files: 0 });
      }
    } catch (thrown) {
      options.signal?.throwIfAborted();
      throw broken(thrown, answer.url, "a download");
    }
    options.onProgress?.({ path, bytes, total, files: 1 });
    return new Blob(pieces);
  }

  /** fetch tells nothing of an upload on its way; the older interface does. */
  async #put(
    path: string,
    file: File,
    options: WriteOptions,
    sent: (bytes: number) => void,
  ): Promise<void> {
    if (typeof XMLHttpRequest === "undefined") {
      await this.write(path, file, options);
      return;
    }
    await this.ready(options.signal);
    const { url } = this.access.endpoint("files");
    const request = new XMLHttpRequest();
    const abort = (): void => request.abort();
    try {
      await new Promise<void>((resolve, reject) => {
        options.signal?.throwIfAborted();
        options.signal?.addEventListener("abort", abort, { once: true });
        request.open("PUT", url + urlPath(path));
        request.setRequestHeader("authorization", `Bearer ${this.access.token}`);
        request.upload.onprogress = (event) => sent(event.loaded);
        request.onload = () => {
          if (request.status < 300) resolve();
          else reject(fromRefusal(request.status, request.responseText));
        };
        request.onerror = () => reject(broken(undefined, url, "an upload"));
        request.onabort = () => reject(options.signal?.reason);
        request.send(file);
      });
    } finally {
      options.signal?.removeEventListener("abort", abort);
    }
  }
}
