import { ConflictError, type FileEntry, FileMissingError, type Seat } from "@clarateach/sdk";
import { Text } from "@codemirror/state";
import { expect, test } from "vitest";
import { type Doc, Documents, dirty } from "../src/workspace/editor/documents.js";
import { endingOf, written } from "../src/workspace/editor/endings.js";
import { Tree } from "../src/workspace/files/tree.js";

/** A seat with files in memory, as strict about ETags as the real one. */
class Shelf {
  readonly files = new Map<string, { text: string; version: number }>();

  put(path: string, text: string): string {
    const version = (this.files.get(path)?.version ?? 0) + 1;
    this.files.set(path, { text, version });
    return `"${version}"`;
  }

  get seat(): Seat {
    const file = (path: string) => {
      const found = this.files.get(path);
      if (!found) throw new FileMissingError("gone", { reason: "NOT_FOUND" });
      return found;
    };
    const files = {
      etag: async (path: string) => `"${file(path).version}"`,
      read: async (path: string) => new TextEncoder().encode(file(path).text),
      readText: async (path: string) => file(path).text,
      write: async (path: string, text: string, wish: { ifMatch?: string; create?: boolean }) => {
        const there = this.files.has(path);
        if (wish.ifMatch !== undefined && wish.ifMatch !== `"${file(path).version}"`) {
          throw new ConflictError("changed", { reason: "PRECONDITION_FAILED" });
        }
        if (wish.create && there)
          throw new ConflictError("there", { reason: "PRECONDITION_FAILED" });
        return this.put(path, text);
      },
      entries: async function* (this: unknown, folder: string) {
        for (const name of folder === "" ? ["b", "a.txt", "a10", "a9"] : ["inner"]) {
          const path = folder === "" ? name : `${folder}/${name}`;
          yield { name, path, type: name === "b" ? "directory" : "file", size: 1 };
        }
      },
    };
    return { workshopId: "ws-1", number: 1, files } as unknown as Seat;
  }
}

const entry = (path: string, size = 1): FileEntry => ({ path, name: path, size }) as FileEntry;

async function opened(): Promise<{ shelf: Shelf; documents: Documents; doc: () => Doc }> {
  const shelf = new Shelf();
  shelf.put("a.txt", "one");
  const documents = new Documents(shelf.seat);
  await documents.open(entry("a.txt"));
  return { shelf, documents, doc: () => documents.list.value[0] as Doc };
}

test("a save goes through while nobody else wrote", async () => {
  const { shelf, documents, doc } = await opened();
  doc().text.value = "two";
  expect(documents.unsaved.value).toBe(true);
  await documents.save(doc());
  expect(shelf.files.get("a.txt")?.text).toBe("two");
  expect(dirty(doc())).toBe(false);
  doc().text.value = "three";
  await documents.save(doc());
  expect(shelf.files.get("a.txt")?.text).toBe("three");
});

test("somebody else's version is never overwritten without a word", async () => {
  const { shelf, documents, doc } = await opened();
  shelf.put("a.txt", "theirs");
  doc().text.value = "mine";
  await documents.save(doc());
  expect(shelf.files.get("a.txt")?.text).toBe("theirs");
  expect(doc().conflict.value).toMatchObject({ theirs: "theirs" });
  // And again, should they write while one reads the question.
  shelf.put("a.txt", "theirs again");
  await documents.keepMine(doc());
  expect(shelf.files.get("a.txt")?.text).toBe("theirs again");
  await documents.keepMine(doc());
  expect(shelf.files.get("a.txt")?.text).toBe("mine");
  expect(doc().conflict.value).toBeUndefined();
});

test("theirs can be taken, and a removed file be made again or let go", async () => {
  const { shelf, documents, doc } = await opened();
  shelf.put("a.txt", "theirs");
  doc().text.value = "mine";
  await documents.save(doc());
  documents.takeTheirs(doc());
  expect(doc().text.value).toBe("theirs");
  expect(dirty(doc())).toBe(false);
  shelf.files.delete("a.txt");
  doc().text.value = "mine";
  await documents.save(doc());
  expect(doc().conflict.value).toEqual({ etag: "", theirs: undefined });
  await documents.keepMine(doc());
  expect(shelf.files.get("a.txt")?.text).toBe("mine");
});

test("a save that fails in a way nobody thought of can be tried again", async () => {
  const shelf = new Shelf();
  shelf.put("a.txt", "one");
  const { seat } = shelf;
  const write = seat.files.write.bind(seat.files);
  let faults = 1;
  const fails: Seat["files"]["write"] = (...call) =>
    faults-- > 0 ? Promise.reject(new TypeError("a fault of our own")) : write(...call);
  const documents = new Documents({ files: { ...seat.files, write: fails } } as unknown as Seat);
  await documents.open(entry("a.txt"));
  const doc = documents.list.value[0] as Doc;
  doc.text.value = "two";
  await expect(documents.save(doc)).rejects.toThrow("a fault of our own");
  await documents.save(doc);
  expect(shelf.files.get("a.txt")?.text).toBe("two");
});

test("how lines end is found, and given back", () => {
  for (const [text, ending] of [
    ["", "\n"],
    ["one", "\n"],
    ["one\ntwo\n", "\n"],
    ["one\r\n\r\ntwo\r\n", "\r\n"],
    ["one\r\ntwo\n", undefined],
    ["one\ntwo\r\n", undefined],
    ["one\rtwo", undefined],
    ["one\r\r\ntwo", undefined],
  ] as const) {
    expect(endingOf(text), JSON.stringify(text)).toBe(ending);
    // As CodeMirror takes a text apart.
    const lines = Text.of(text.split(/\r\n?|\n/));
    if (ending) expect(written(lines, ending)).toBe(text);
  }
});

test("a file whose lines do not end alike is looked at, and not edited", async () => {
  const { shelf, documents, doc } = await opened();
  shelf.put("mixed.txt", "one\r\ntwo\n");
  shelf.put("crlf.txt", "one\r\ntwo\r\n");
  await documents.open(entry("mixed.txt"));
  await documents.open(entry("crlf.txt"));
  const [, mixed, crlf] = documents.list.value as Doc[];
  expect(mixed?.readOnly).toContain("do not all end alike");
  expect(dirty(mixed as Doc)).toBe(false);
  expect(crlf?.readOnly).toBeUndefined();
  // Also when it came to be so while it was open.
  shelf.put("a.txt", "one\rtwo");
  doc().text.value = "mine";
  await documents.save(doc());
  documents.takeTheirs(doc());
  expect(doc().readOnly).toContain("do not all end alike");
  expect(dirty(doc())).toBe(false);
});

test("open files follow a move of their folder", async () => {
  const { shelf, documents, doc } = await opened();
  shelf.put("src/b.txt", "b");
  await documents.open(entry("src/b.txt"));
  documents.moved("src", "lib");
  expect(documents.front.value).toBe("lib/b.txt");
  documents.moved("lib", undefined);
  expect(documents.list.value).toEqual([doc()]);
});

test("the tree shows folders first, names as people count, and what is open below", async () => {
  const tree = new Tree(new Shelf().seat);
  await tree.refresh();
  const seen = () => tree.rows.value.map(({ entry, level }) => `${level} ${entry.name}`);
  expect(seen()).toEqual(["1 b", "1 a.txt", "1 a9", "1 a10"]);
  await tree.toggle("b");
  expect(seen()).toEqual(["1 b", "2 inner", "1 a.txt", "1 a9", "1 a10"]);
  expect(tree.rows.value[1]).toMatchObject({ at: 1, of: 1 });
});
