import { openAsBlob } from "node:fs";
import { mkdir, readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { invalid } from "../duration.js";
import { LocalFileError } from "../errors.js";
import type { TransferOptions, TransferResult } from "../file_types.js";
import { Files } from "../files.js";
import { joinPaths, parts } from "../paths.js";
import { Tally } from "../transfer.js";
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
  async upload(
    local: string,
    remote?: string,
    options: TransferOptions = {},
  ): Promise<TransferResult> {
    const to = parts(remote ?? basename(local)).join("/");
    if (to === "") throw invalid("remote", "must name what is made");
    const found = await stat(local).catch(missing(local));
    const folders: string[] = [];
    const jobs: Job[] = [];
    const skipped: string[] = [];
    if (found.isDirectory()) await walk(local, to, { folders, jobs, skipped });
    else jobs.push({ local, remote: to, size: found.size });
    // A file's folders first; each once, parents before children.
    const above = to.split("/").slice(0, -1).join("/");
    for (const folder of [above, ...folders]) await this.mkdir(folder, options);
    const tally = new Tally(sizes(jobs), options);
    await pool(AT_ONCE, jobs, async ({ local: path, remote: name }) => {
      const content = await openAsBlob(path).catch(missing(path));
      await this.write(name, content, { signal: options.signal });
      tally.bytes(name, content.size);
      tally.file(name);
    });
    return tally.result(skipped);
  }

  /**
   * Gets a file or a folder to `local`, which is the new thing's own path; by
   * default its name here. A file is whole or not there: it is written beside
   * its place and renamed, and goes on where it was after a lost connection.
   */
  async download(
    remote: string,
    local?: string,
    options: TransferOptions = {},
  ): Promise<TransferResult> {
    const names = parts(remote);
    const to = local ?? names.at(-1) ?? "workspace";
    const jobs: Job[] = [];
    const skipped: string[] = [];
    const entry = names.length === 0 ? undefined : await this.stat(remote, options);
    if (entry === undefined || entry.type === "directory") {
      await this.#plan(names.join("/"), to, { jobs, skipped }, options);
    } else {
      jobs.push({ local: to, remote: entry.path, size: entry.size });
    }
    const tally = new Tally(sizes(jobs), options);
    await pool(AT_ONCE, jobs, async ({ local: path, remote: name }) => {
      await fetchFile(
        (headers) => this.get(name, headers, options),
        path,
        (bytes) => tally.bytes(name, bytes),
        options.signal,
      );
      tally.file(name);
    });
    return tally.result(skipped);
  }

  /** Makes the folders and notes the files. Names are a learner's: they must not lead elsewhere. */
  async #plan(
    remote: string,
    local: string,
    found: Pick<Found, "jobs" | "skipped">,
    options: TransferOptions,
  ): Promise<void> {
    await mkdir(local, { recursive: true }).catch(missing(local));
    for await (const { name, path, type, size } of this.entries(remote, options)) {
      if (!isPlainName(name)) {
        throw invalid(
          "name",
          `${JSON.stringify(name)} is no file name on this machine`,
          "BAD_PATH",
        );
      }
      const to = join(local, name);
      if (type === "directory") await this.#plan(path, to, found, options);
      else if (type === "file") found.jobs.push({ remote: path, local: to, size });
      else found.skipped.push(path);
    }
  }
}

/** What lies below a folder. */
interface Found {
  readonly folders: string[];
  readonly jobs: Job[];
  readonly skipped: string[];
}

async function walk(local: string, remote: string, found: Found): Promise<void> {
  found.folders.push(remote);
  const entries = await readdir(local, { withFileTypes: true }).catch(missing(local));
  for (const entry of entries) {
    const [path, name] = [join(local, entry.name), joinPaths(remote, entry.name)];
    if (entry.isDirectory()) await walk(path, name, found);
    else if (!entry.isFile()) found.skipped.push(path);
    else found.jobs.push({ local: path, remote: name, size: (await stat(path)).size });
  }
}

function sizes(jobs: readonly Job[]): number[] {
  return jobs.map(({ size }) => size);
}

/** Whether a name means one thing in its folder, on this machine too. */
function isPlainName(name: string): boolean {
  return (
    name !== "" && name !== "." && name !== ".." && !/[/\0]/.test(name) && name === basename(name)
  );
}

function missing(local: string): (cause: unknown) => never {
  return (cause) => {
    throw new LocalFileError(`${local} cannot be read or made on this machine`, {
      reason: "LOCAL_FILE",
      cause,
    });
  };
}
