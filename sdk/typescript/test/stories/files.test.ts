import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { chmod, mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type * as browser from "../../src/browser.js";
import { ConflictError, FileMissingError, InvalidError, LocalFileError } from "../../src/errors.js";
import type * as node from "../../src/node.js";
import { stories } from "../support/live.js";
import { refused } from "../support/refused.js";

stories("files", (house) => {
  let seat: Awaited<ReturnType<typeof house.learner>>;
  const names = [
    "plain.txt",
    "with space",
    "ü%20#?&=+;,.txt",
    "back\\slash",
    "😀",
    "...",
    "-rf",
    "é".repeat(127),
  ];

  test("names of every kind are written, listed, read and removed", async () => {
    seat = await house.learner();
    for (const name of names)
      await seat.files.write(`names/${name}`, name).catch(async (error) => {
        // The folder is not there yet, and said to be missing.
        expect(error).toMatchObject({ reason: "CONFLICT" });
        await seat.files.mkdir("names");
        await seat.files.write(`names/${name}`, name);
      });
    const listed = await seat.files.list("names");
    expect(listed.map(({ name }) => name).sort()).toEqual([...names].sort());
    for (const entry of listed) {
      expect(entry).toMatchObject({ type: "file", path: `names/${entry.name}`, mode: 0o644 });
      expect(await seat.files.readText(entry.path)).toBe(entry.name);
      await seat.files.delete(entry.path);
    }
    expect(await seat.files.list("/names/")).toEqual([]);
  });

  test("bytes are what they were, large ones and none", async () => {
    const bytes = Uint8Array.from({ length: 3_000_001 }, (_, n) => (n * 31) % 256);
    await seat.files.write("large", bytes);
    expect((await seat.files.read("large")).every((byte, n) => byte === bytes[n])).toBe(true);
    await seat.files.write("blob", new Blob(["a", "b"]));
    expect(await seat.files.readText("blob")).toBe("ab");
    await seat.files.write("none", "");
    expect(await seat.files.read("none")).toHaveLength(0);
    let seen = 0;
    const reader = (await seat.files.stream("large")).getReader();
    for (let got = await reader.read(); !got.done; got = await reader.read()) {
      seen += got.value.length;
    }
    expect(seen).toBe(bytes.length);
    expect(await seat.files.stat("large")).toMatchObject({ size: bytes.length, type: "file" });
  });

  test("what somebody else changed is not overwritten", async () => {
    const first = await seat.files.write("shared", "one");
    const second = await seat.files.write("shared", "two", { ifMatch: first });
    expect(second).not.toBe(first);
    const late = seat.files.write("shared", "three", { ifMatch: first });
    await refused(late, ConflictError, "PRECONDITION_FAILED");
    const taken = seat.files.write("shared", "four", { create: true });
    await refused(taken, ConflictError, "PRECONDITION_FAILED");
    expect(await seat.files.readText("shared")).toBe("two");
    expect(await seat.files.etag("shared")).toBe(second);
    await seat.files.write("new", "x", { create: true });
  });

  test("folders are made, moved, copied and removed", async () => {
    await seat.files.mkdir("a/b/c");
    await seat.files.mkdir("a/b/c");
    await seat.files.write("a/b/c/file", "x");
    await seat.files.move("a/b", "a/moved");
    await seat.files.copy("a/moved", "a/copied");
    expect((await seat.files.list("a")).map(({ name }) => name)).toEqual(["copied", "moved"]);
    expect(await seat.files.readText("a/copied/c/file")).toBe("x");
    await refused(seat.files.move("a/moved", "a/copied"), ConflictError, "PRECONDITION_FAILED");
    await seat.files.move("a/moved", "a/copied", { overwrite: true });
    await seat.files.delete("a");
    expect(await seat.files.exists("a")).toBe(false);
  });

  test("what is not there, or must not be, is refused", async () => {
    const { files } = seat;
    for (const act of ["read", "stat", "list", "delete"] as const) {
      await refused(files[act]("no"), FileMissingError, "NOT_FOUND");
    }
    await refused(files.list("shared"), ConflictError, "NOT_A_FOLDER");
    await refused(files.mkdir("shared/x"), ConflictError, "CONFLICT");
    await refused(files.read("../../etc/passwd"), InvalidError, "BAD_PATH");
    await seat.run("ln -s /etc/passwd leak");
    await expect(files.read("leak")).rejects.toMatchObject({ reason: "FORBIDDEN" });
  });

  test("folders without end come page by page, and as an archive", async () => {
    await seat.run("mkdir many; cd many; seq 1 2345 | xargs touch", { check: true });
    expect(await seat.files.list("many")).toHaveLength(2345);
    const archive = await new Response(await seat.files.archive("many")).arrayBuffer();
    expect(archive.byteLength).toBeGreaterThan(2345 * 512);
  });
});

stories(
  "files of this machine",
  (house) => {
    const here = mkdtempSync(join(tmpdir(), "clarateach-story-"));
    afterAll(() => rmSync(here, { recursive: true, force: true }));
    let seat: node.Seat;

    test("folders go up and come down as they were", async () => {
      seat = (await house.learner()) as node.Seat;
      const from = join(here, "from");
      await mkdir(join(from, "sub/empty"), { recursive: true });
      for (let n = 0; n < 50; n += 1) await writeFile(join(from, "sub", `file ${n}`), `${n}`);
      await writeFile(join(from, "big"), new Uint8Array(5_000_000).fill(7));
      await symlink("/etc/passwd", join(from, "link"));
      const told: node.TransferProgress[] = [];
      const up = await seat.files.upload(from, "up", { onProgress: (now) => told.push(now) });
      expect(up).toMatchObject({ files: 51, skipped: [join(from, "link")] });
      expect(told.at(-1)).toMatchObject({
        filesDone: 51,
        filesTotal: 51,
        bytesDone: up.bytes,
        bytesTotal: up.bytes,
      });
      const down = await seat.files.download("up", join(here, "to"));
      expect(down).toMatchObject({ files: 51, bytes: up.bytes });
      expect((await readdir(join(here, "to"), { recursive: true })).sort()).toEqual(
        (await readdir(from, { recursive: true })).filter((name) => name !== "link").sort(),
      );
      const same = readFileSync(join(here, "to/big")).equals(readFileSync(join(from, "big")));
      expect(same).toBe(true);
      await seat.files.upload(join(from, "big"));
      expect((await seat.files.stat("big")).size).toBe(5_000_000);
    });

    test("a download that is ended leaves nothing half", async () => {
      const to = join(here, "aborted");
      const stop = new AbortController();
      const ended = seat.files.download("big", to, {
        signal: stop.signal,
        onProgress: () => stop.abort(new Error("enough")),
      });
      await expect(ended).rejects.toThrow("enough");
      expect((await readdir(here)).filter((name) => /aborted|part/.test(name))).toEqual([]);
    });

    test("what this machine has not, or may not, is said so", async () => {
      const missing = seat.files.upload(join(here, "nothing"));
      await refused(missing, LocalFileError, "LOCAL_FILE");
      await refused(seat.files.download("no", join(here, "no")), FileMissingError, "NOT_FOUND");
      await writeFile(join(here, "file"), "x");
      const below = seat.files.download("big", join(here, "file/below"));
      await refused(below, LocalFileError, "LOCAL_FILE");
      await chmod(join(here, "file"), 0o600);
    });
  },
  ["node, direct"],
);

stories(
  "files of a page",
  (house) => {
    test("what a file input gives goes up, and comes back", async () => {
      const seat = (await house.learner()) as browser.Seat;
      const files = Array.from({ length: 9 }, (_, n) => new File([`text ${n}`], `f${n}.txt`));
      const told: browser.TransferProgress[] = [];
      const up = await seat.files.upload(files, "dropped", { onProgress: (now) => told.push(now) });
      expect(up).toEqual({ files: 9, bytes: 54, skipped: [] });
      expect(told.at(-1)).toMatchObject({ filesDone: 9, bytesDone: 54, bytesTotal: 54 });
      const blob = await seat.files.download("dropped/f3.txt");
      expect(await blob.text()).toBe("text 3");
    });
  },
  ["browser entry"],
);
