import { openAsBlob } from "node:fs";
import { mkdir, readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { invalid } from "../duration.js";
import { NotFoundError } from "../errors.js";
import { Files, type TransferOptions } from "../files.js";
import { joinPaths, parts } from "../paths.js";
import { fetchFile } from "./fetch_file.js";
import { pool } from "./pool.js";

/** Files at once. */
const AT_ONCE = 8;

/** One file to move. */
interface Job {
  readonly local: string;
  readonly remote: string;
  readonly size: number;
}

/** A learner's files, with this machine's own at the other end. */
export class NodeFiles extends Files {
  /**
   * Puts a file or a folder of this machine to `remote`, which is the new
   * thing's own path; by default its name in the workspace. Links and devices
   * are left out.
   */
  async upload(local: string, remote?: string, options: TransferOptions = {}): Promise<void> {
    const to = parts(remote ?? basename(local)).join("/");
    if (to === "") throw invalid("remote", "must name what is made");
    const found = await stat(local).catch(missing(local));
    const folders: string[] = [];
    const jobs: Job[] = [];
    if (found.isDirectory()) await walk(local, to, folders, jobs);
    else jobs.push({ local, remote: to, size: found.size });
    // A file's folders first; each once, parents before children.
    const above = to.split("/").slice(0, -1).join("/");
    for (const folder of [above, ...folders]) await this.mkdir(folder, options);
    const tell = progress(jobs, options);
    await pool(AT_ONCE, jobs, async ({ local: path, remote: name, size }) => {
      await this.write(name, await openAsBlob(path), { signal: options.signal });
      tell(name, size, true);
    });
  }

  /**
   * Gets a file or a folder to `local`, which is the new thing's own path; by
   * default its name here. A file is whole or not there: it is written beside
   * its place and renamed, and goes on where it was after a lost connection.
   */
  async download(remote: string, local?: string, options: TransferOptions = {}): Promise<void> {
    const names = parts(remote);
    const to = local ?? names.at(-1) ?? "workspace";
    const jobs: Job[] = [];
    if (await this.#isFolder(remote, options)) {
      await this.#plan(names.join("/"), to, jobs, options);
    } else {
      jobs.push({ local: to, remote: names.join("/"), size: 0 });
    }
    const tell = progress(jobs, options);
    await pool(AT_ONCE, jobs, async ({ local: path, remote: name }) => {
      await fetchFile(
        (headers) => this.get(name, headers, options),
        path,
        (bytes) => tell(name, bytes, false),
        options.signal,
      );
      tell(name, 0, true);
    });
  }

  async #isFolder(remote: string, options: TransferOptions): Promise<boolean> {
    const names = parts(remote);
    const name = names.at(-1);
    if (name === undefined) return true;
    const above = names.slice(0, -1).join("/");
    for await (const entry of this.entries(above, options)) {
      if (entry.name === name) return entry.type === "directory";
    }
    throw new NotFoundError(`there is no ${remote}`, { reason: "NOT_FOUND" });
  }

  /** Makes the folders and notes the files. Names are a learner's: they must not lead elsewhere. */
  async #plan(remote: string, local: string, jobs: Job[], options: TransferOptions): Promise<void> {
    await mkdir(local, { recursive: true });
    for await (const { name, type, size } of this.entries(remote, options)) {
      if (
        name === "" ||
        name === "." ||
        name === ".." ||
        /[/\0]/.test(name) ||
        name !== basename(name)
      ) {
        throw invalid(
          "name",
          `${JSON.stringify(name)} in ${remote || "the workspace"} is no file name here`,
        );
      }
      const [from, to] = [joinPaths(remote, name), join(local, name)];
      if (type === "directory") await this.#plan(from, to, jobs, options);
      else if (type === "file") jobs.push({ remote: from, local: to, size });
    }
  }
}

async function walk(local: string, remote: string, folders: string[], jobs: Job[]): Promise<void> {
  folders.push(remote);
  for (const entry of await readdir(local, { withFileTypes: true })) {
    const [path, name] = [join(local, entry.name), joinPaths(remote, entry.name)];
    if (entry.isDirectory()) await walk(path, name, folders, jobs);
    else if (entry.isFile())
      jobs.push({ local: path, remote: name, size: (await stat(path)).size });
  }
}

/** Counts bytes and files for `onProgress`. */
function progress(
  jobs: readonly Job[],
  { onProgress }: TransferOptions,
): (path: string, bytes: number, complete: boolean) => void {
  const sum = jobs.reduce((all, { size }) => all + size, 0);
  let [bytes, files] = [0, 0];
  return (path, more, complete) => {
    bytes += more;
    if (complete) files += 1;
    onProgress?.({ path, bytes, total: sum || undefined, files });
  };
}

function missing(local: string): (cause: unknown) => never {
  return (cause) => {
    throw new NotFoundError(`${local} is not on this machine, or cannot be read`, {
      reason: "LOCAL_FILE",
      cause,
    });
  };
}
