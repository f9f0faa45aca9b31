import type { Access, SeatRequest } from "./access.js";
import { invalid } from "./duration.js";
import { ConflictError, FileMissingError, NotFoundError } from "./errors.js";
import { broken } from "./faults.js";
import type { FileEntry, FileOptions, MoveOptions, WriteOptions } from "./file_types.js";
import { joinPaths, parts, urlPath } from "./paths.js";

/** Waits for the seat's machine before a request. */
export type Ready = (signal: AbortSignal | undefined) => Promise<void>;

/** Makes the files of one seat, with all that they can do on a platform. */
export type FilesOf<F extends Files> = (access: Access, ready: Ready) => F;

/** A learner's files. Paths are from the workspace, with or without a leading slash. */
export class Files {
  /** For the classes of each platform. */
  protected readonly access: Access;
  readonly #ready: Ready;

  constructor(access: Access, ready: Ready) {
    this.access = access;
    this.#ready = ready;
  }

  /** What is in a folder, by name. */
  async list(folder = "", options: FileOptions = {}): Promise<FileEntry[]> {
    const entries: FileEntry[] = [];
    for await (const entry of this.entries(folder, options)) entries.push(entry);
    return entries;
  }

  /** The same, a thousand at a time as they are needed: for folders without end. */
  async *entries(
    folder = "",
    options: FileOptions = {},
  ): AsyncGenerator<FileEntry, void, undefined> {
    let token = "";
    do {
      // A slash at the end, or a folder named like a file would be one.
      const tail = `${urlPath(folder).replace(/\/$/, "")}/`;
      const query = token === "" ? "" : `?page_token=${encodeURIComponent(token)}`;
      const answer = await this.#ask("GET", tail + query, {
        headers: { accept: "application/json" },
        signal: options.signal,
      });
      if (!answer.headers.get("content-type")?.includes("json")) {
        await answer.body?.cancel();
        throw new ConflictError(`${folder} is no folder`, { reason: "NOT_A_FOLDER" });
      }
      const page = (await this.#read(answer, options.signal, () => answer.json())) as Page;
      for (const { name, type, size, etag, mode, modified } of page.entries) {
        yield {
          name,
          path: joinPaths(folder, name),
          type,
          isDir: type === "directory",
          size,
          modified: modified ? new Date(modified) : undefined,
          etag,
          mode: Number.parseInt(mode, 8),
        };
      }
      token = page.next_page_token;
    } while (token !== "");
  }

  /** One thing, as its folder lists it. */
  async stat(path: string, options: FileOptions = {}): Promise<FileEntry> {
    const names = parts(path);
    const name = names.pop();
    if (name === undefined)
      throw invalid("path", "must name something in the workspace", "BAD_PATH");
    for await (const entry of this.entries(names.join("/"), options)) {
      if (entry.name === name) return entry;
    }
    throw new FileMissingError(`there is no ${path}`, { reason: "NOT_FOUND" });
  }

  /** A whole file. */
  async read(path: string, options: FileOptions = {}): Promise<Uint8Array> {
    const answer = await this.#get(path, options);
    return new Uint8Array(await this.#read(answer, options.signal, () => answer.arrayBuffer()));
  }

  /** A whole file as UTF-8 text. */
  async readText(path: string, options: FileOptions = {}): Promise<string> {
    return new TextDecoder().decode(await this.read(path, options));
  }

  /** A file as it comes; for large ones. */
  async stream(path: string, options: FileOptions = {}): Promise<ReadableStream<Uint8Array>> {
    const answer = await this.#get(path, options);
    return answer.body ?? new Blob([]).stream();
  }

  /**
   * Writes a whole file; the old one is as it was until the last byte is
   * there. Gives the new ETag. A stream works in Node only.
   */
  async write(
    path: string,
    data: string | Uint8Array | Blob | ReadableStream<Uint8Array>,
    options: WriteOptions = {},
  ): Promise<string> {
    const { ifMatch, create, signal } = options;
    const headers: Record<string, string> = { "content-type": "application/octet-stream" };
    if (ifMatch !== undefined) headers["if-match"] = ifMatch;
    if (create) headers["if-none-match"] = "*";
    const conditional = ifMatch !== undefined || create === true;
    const answer = await this.#ask("PUT", urlPath(path), {
      headers,
      body: data as BodyInit,
      signal,
      // Repeated, it might meet its own first success.
      idempotent: !conditional,
    });
    await answer.body?.cancel();
    return answer.headers.get("etag") ?? (await this.etag(path, { signal }));
  }

  /** The present ETag of a file. */
  async etag(path: string, options: FileOptions = {}): Promise<string> {
    const answer = await this.#ask("HEAD", urlPath(path), options);
    return answer.headers.get("etag") ?? "";
  }

  /** Whether anything is at `path`. */
  async exists(path: string, options: FileOptions = {}): Promise<boolean> {
    try {
      // HEAD of a folder would lead elsewhere.
      const headers = { depth: "0" };
      const answer = await this.#ask("PROPFIND", urlPath(path), { ...options, headers });
      await answer.body?.cancel();
      return true;
    } catch (error) {
      if (error instanceof NotFoundError) return false;
      throw error;
    }
  }

  /** Makes a folder, and those above it; one that is there already is fine. */
  async mkdir(path: string, options: FileOptions = {}): Promise<void> {
    let folder = "";
    for (const name of parts(path)) {
      folder = joinPaths(folder, name);
      try {
        await this.#ask("MKCOL", urlPath(folder), { ...options, idempotent: false });
      } catch (error) {
        // 405: something of that name is there; the next name tells if it is no folder.
        const there = error instanceof ConflictError && error.reason === "BAD_METHOD";
        if (!there) throw error;
      }
    }
  }

  /** Moves or renames a file or a folder. */
  async move(from: string, to: string, options: MoveOptions = {}): Promise<void> {
    await this.#transport("MOVE", from, to, options);
  }

  /** Copies a file or a folder. */
  async copy(from: string, to: string, options: MoveOptions = {}): Promise<void> {
    await this.#transport("COPY", from, to, options);
  }

  /** Deletes a file, or a folder with all that is in it. */
  async delete(path: string, options: FileOptions = {}): Promise<void> {
    await this.#ask("DELETE", urlPath(path), { ...options, idempotent: false });
  }

  /** A folder, or with `""` the whole workspace, as a tar archive, as it comes. */
  async archive(folder = "", options: FileOptions = {}): Promise<ReadableStream<Uint8Array>> {
    const answer = await this.#ask("GET", `${urlPath(folder)}?archive=tar`, options);
    return answer.body ?? new Blob([]).stream();
  }

  /** A GET that the classes of each platform read themselves. */
  protected async get(
    path: string,
    headers: Record<string, string>,
    options: FileOptions,
  ): Promise<Response> {
    return this.#ask("GET", urlPath(path), { headers, signal: options.signal });
  }

  /** Waits for the seat's machine. */
  protected ready(signal: AbortSignal | undefined): Promise<void> {
    return this.#ready(signal);
  }

  async #transport(
    method: "MOVE" | "COPY",
    from: string,
    to: string,
    { overwrite = false, signal }: MoveOptions,
  ): Promise<void> {
    await this.#ready(signal);
    const destination = this.access.endpoint("files").url + urlPath(to);
    const headers = { destination, overwrite: overwrite ? "T" : "F" };
    await this.#ask(method, urlPath(from), { headers, signal, idempotent: false });
  }

  #get(path: string, options: FileOptions): Promise<Response> {
    return this.#ask("GET", urlPath(path), options);
  }

  async #ask(
    method: string,
    tail: string,
    request: Partial<Omit<SeatRequest, "method">>,
  ): Promise<Response> {
    await this.#ready(request.signal);
    try {
      return await this.access.ask("files", tail, { idempotent: true, ...request, method });
    } catch (error) {
      // A HEAD has no body to say so.
      const missing = error instanceof NotFoundError && /^(NOT_FOUND|HTTP_404)$/.test(error.reason);
      if (!missing) throw error;
      throw new FileMissingError("there is no such file", { reason: "NOT_FOUND", cause: error });
    }
  }

  /** Reads a body; one that breaks off is a ConnectionLostError. */
  async #read<T>(
    answer: Response,
    signal: AbortSignal | undefined,
    body: () => Promise<T>,
  ): Promise<T> {
    try {
      return await body();
    } catch (thrown) {
      // What a body says of its end depends on when it was ended.
      if (signal?.aborted) throw signal.reason;
      if ((thrown as Error)?.name === "AbortError") throw thrown;
      throw broken(thrown, answer.url, "a download");
    }
  }
}

interface Page {
  entries: (Omit<FileEntry, "isDir" | "modified" | "mode" | "path"> & {
    modified?: string;
    mode: string;
  })[];
  next_page_token: string;
}
