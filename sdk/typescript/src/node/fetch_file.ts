// One file down to this machine: whole, or not there.
//
// Way: a temporary file beside its place -> the body, from where it broke off
// by Range and If-Range -> fsync -> rename.

import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { Backoff } from "../backoff.js";
import { pause } from "../cancel.js";
import { ConnectionLostError, LocalFileError } from "../errors.js";
import { broken } from "../faults.js";
import { requestId } from "../request_id.js";

/** Bodies asked for before a transfer is given up. */
const TRIES = 6;

/** Gets what `ask` answers to `local`; `told` hears of every piece's bytes. */
export async function fetchFile(
  ask: (headers: Record<string, string>) => Promise<Response>,
  local: string,
  told: (bytes: number) => void,
  signal?: AbortSignal,
): Promise<void> {
  const part = join(dirname(local), `.${basename(local).slice(0, 200)}.${requestId()}.part`);
  const file = await open(part, "wx").catch(here);
  try {
    await fill(file, ask, told, signal);
    await file.sync().catch(here);
    await file.close();
    await rename(part, local).catch(here);
  } catch (error) {
    await file.close().catch(() => undefined);
    await rm(part, { force: true });
    throw error;
  }
}

async function fill(
  file: FileHandle,
  ask: (headers: Record<string, string>) => Promise<Response>,
  told: (bytes: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  const backoff = new Backoff();
  let [at, etag] = [0, ""];
  for (;;) {
    const answer = await ask(at > 0 ? { range: `bytes=${at}-`, "if-range": etag } : {});
    if (at > 0 && answer.status !== 206) {
      // Another file by now: from its beginning.
      told(-at);
      at = 0;
      await file.truncate(0).catch(here);
    }
    etag = answer.headers.get("etag") ?? "";
    try {
      const reader = answer.body?.getReader();
      for (let got = await reader?.read(); got && !got.done; got = await reader?.read()) {
        await file.write(got.value, 0, got.value.length, at).catch(here);
        at += got.value.length;
        told(got.value.length);
      }
      return;
    } catch (thrown) {
      signal?.throwIfAborted();
      const error = broken(thrown, answer.url, "a download");
      const again =
        error instanceof ConnectionLostError && etag !== "" && backoff.tries < TRIES - 1;
      if (!again) throw error;
      await pause(backoff.next(), signal);
    }
  }
}

/** This machine's own disk failed, or is full. */
function here(cause: NodeJS.ErrnoException): never {
  const full = cause.code === "ENOSPC" || cause.code === "EDQUOT";
  const what = full ? "this machine's disk is full" : "the file cannot be written here";
  throw new LocalFileError(`${what} (${cause.code}): ${cause.path ?? "see cause"}`, {
    reason: full ? "LOCAL_DISK_FULL" : "LOCAL_FILE",
    cause,
  });
}
