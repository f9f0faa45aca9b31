import { broken, fromRefusal } from "../faults.js";
import type { FileOptions, TransferOptions, TransferResult, WriteOptions } from "../file_types.js";
import { Files } from "../files.js";
import { joinPaths, urlPath } from "../paths.js";
import { Tally } from "../transfer.js";

/** A download that has not begun in so long never will, in milliseconds. */
const FRAME_MS = 10 * 60_000;
/** Downloads so far. */
let downloads = 0;
/** Files at once. */
const AT_ONCE = 4;

/** A learner's files, from a page. */
export class BrowserFiles extends Files {
  /**
   * Puts files into a folder: what an `<input type=file>` (with
   * `webkitdirectory` too) or a drop gives. Folders are made as needed.
   */
  async upload(
    files: Iterable<File>,
    folder = "",
    options: TransferOptions = {},
  ): Promise<TransferResult> {
    const { signal } = options;
    const waiting = Array.from(files, (file) => ({
      file,
      path: joinPaths(folder, file.webkitRelativePath || file.name),
    }));
    const sizes = waiting.map(({ file }) => file.size);
    const tally = new Tally(sizes, options);
    const folders = new Set(waiting.map(({ path }) => path.split("/").slice(0, -1).join("/")));
    for (const needed of folders) await this.mkdir(needed, { signal });
    const next = async (): Promise<void> => {
      for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) {
        const { path, file } = one;
        let sent = 0;
        await this.#put(path, file, { signal }, (now) => {
          // The older interface counts what frames a body too.
          const more = Math.min(now, file.size) - sent;
          sent += more;
          tally.bytes(path, more);
        });
        tally.bytes(path, file.size - sent);
        tally.file(path);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, next));
    return tally.result([]);
  }

  /** A whole file, for `URL.createObjectURL` or a save dialog. */
  async download(path: string, options: TransferOptions = {}): Promise<Blob> {
    const answer = await this.get(path, {}, options);
    const tally = new Tally([Number(answer.headers.get("content-length")) || 0], options);
    const pieces: BlobPart[] = [];
    try {
      const reader = answer.body?.getReader();
      for (let got = await reader?.read(); got && !got.done; got = await reader?.read()) {
        pieces.push(got.value as BlobPart);
        tally.bytes(path, got.value.length);
      }
    } catch (thrown) {
      options.signal?.throwIfAborted();
      throw broken(thrown, answer.url, "a download");
    }
    tally.file(path);
    return new Blob(pieces);
  }

  /**
   * Has the browser itself download a file, or with `archive` a folder as tar: straight to
   * its disk, whatever the size, with its own progress. The token travels in a form's body. A page's
   * policy needs `frame-src` and `form-action` for where seats' files are: `'self'`, and the workers
   * that have names. They let in by its origin: its referrer policy must not hide that.
   */
  async save(path: string, options: FileOptions & { archive?: boolean } = {}): Promise<void> {
    // Refused here, and not on a page that the browser would go to.
    if (options.archive) for await (const _ of this.entries(path, options)) break;
    else await this.etag(path, options);
    const form = document.createElement("form");
    form.method = "post";
    form.action = `${this.access.endpoint("files").url}/download`;
    form.hidden = true;
    // An answer that is no attachment must not take the page's place.
    form.target = downloadFrame();
    const fields = { token: this.access.token, path: joinPaths("", path) };
    for (const [name, value] of Object.entries({
      ...fields,
      ...(options.archive && { archive: "tar" }),
    })) {
      const field = document.createElement("input");
      field.type = "hidden";
      field.name = name;
      field.value = value;
      form.append(field);
    }
    document.body.append(form);
    form.submit();
    form.remove();
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

/** The name of a frame that is not seen, for one download: in one frame the next would end the last. */
function downloadFrame(): string {
  const frame = document.createElement("iframe");
  downloads += 1;
  frame.name = `clarateach-download-${downloads}`;
  frame.hidden = true;
  frame.title = "download";
  document.body.append(frame);
  // Where a download began, the frame hears no more of it.
  setTimeout(() => frame.remove(), FRAME_MS);
  return frame.name;
}
