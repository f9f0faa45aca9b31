import "./files.css";
import type { FileEntry, Seat } from "@clarateach/sdk";
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { ask, askText, sure } from "../../ui/ask.js";
import { Icon, type Sign } from "../../ui/Icon.js";
import { dragged, dropped, type Found, KIND } from "./drop.js";
import { Lines } from "./Lines.js";
import { parent, type Tree } from "./tree.js";
import { UploadRows } from "./UploadRows.js";
import type { Uploads } from "./uploads.js";

interface Props {
  seat: Seat;
  tree: Tree;
  uploads: Uploads;
  onOpen(entry: FileEntry): void;
  /** Told where a file is now; undefined for removed. */
  onMoved(from: string, to: string | undefined): void;
}

/** The learner's files: look, make, rename, remove, upload, download. */
export function Files({ seat, tree, uploads, onOpen, onMoved }: Props) {
  const input = useRef<HTMLInputElement>(null);
  const over = useSignal(false);
  useEffect(() => {
    void tree.refresh();
    const look = () => void (document.hidden || tree.refresh());
    window.addEventListener("focus", look);
    return () => window.removeEventListener("focus", look);
  }, [tree]);

  /** The folder that new things go to: the selected one, or that of the selected file. */
  const here = (): string => {
    const selected = tree.find(tree.selected.value);
    if (!selected) return "";
    return selected.type === "directory" ? selected.path : parent(selected.path);
  };
  const below = (folder: string, name: string) => (folder === "" ? name : `${folder}/${name}`);

  const make = async (kind: "file" | "folder") => {
    const folder = here();
    const hint = `In ${folder === "" ? "the workspace" : folder}`;
    const name = await askText(`New ${kind}`, { label: "Name", value: "", hint }, "Make");
    if (!name) return;
    const path = below(folder, name);
    const made = await tree.act(`New ${kind}`, async () => {
      if (kind === "folder") return seat.files.mkdir(path);
      if (parent(path) !== folder) await seat.files.mkdir(parent(path));
      await seat.files.write(path, "", { create: true });
    });
    if (!made) return;
    // What was named may be several folders down.
    const above = parent(path).split("/");
    for (let n = 1; n <= above.length; n += 1) {
      const one = above.slice(0, n).join("/");
      if (one !== "") await tree.toggle(one, true);
    }
    tree.selected.value = path;
    const entry = tree.find(path);
    if (kind === "file" && entry) onOpen(entry);
  };

  const move = async (from: string, to: string) => {
    const done = await tree.act("Move", async () => {
      if (parent(to) !== "") await seat.files.mkdir(parent(to));
      await seat.files.move(from, to);
    });
    if (done) onMoved(from, to);
  };

  const rename = async (entry: FileEntry) => {
    const field = {
      label: "Path in the workspace",
      value: entry.path,
      hint: "Another folder in it moves it there.",
    };
    const to = await askText(`Rename or move ${entry.name}`, field, "Rename");
    if (to && to !== entry.path) await move(entry.path, to);
  };

  const remove = async (entry: FileEntry) => {
    const folder = entry.type === "directory";
    const body = folder
      ? "The folder and all that is in it are gone for good."
      : "It is gone for good.";
    if (!(await sure(`Delete ${entry.path}?`, body, "Delete"))) return;
    if (await tree.act("Delete", () => seat.files.delete(entry.path))) {
      onMoved(entry.path, undefined);
    }
  };

  const send = async (found: Found[], folder: string) => {
    if (found.length === 0) return;
    const there = new Set((await seat.files.list(folder)).map(({ name }) => name));
    const clash = [...new Set(found.map(topOf))].filter((name) => there.has(name));
    let skip = false;
    if (clash.length > 0) {
      const answer = await ask({
        title: `${clash.length === 1 ? `${clash[0]} is` : `${clash.length} names are`} there already`,
        body: clash.slice(0, 8).join(", "),
        answers: [
          { word: "Replace", key: "replace", danger: true },
          { word: "Skip them", key: "skip" },
        ],
      });
      if (!answer) return;
      skip = answer.key === "skip";
    }
    const wanted = skip ? found.filter((one) => !there.has(topOf(one))) : found;
    await uploads.send(wanted, folder);
    await tree.refresh();
  };

  return (
    <section
      class={`files ${over.value ? "over" : ""}`}
      aria-label="Files"
      onDragOver={(event) => {
        const types = event.dataTransfer?.types ?? [];
        if (!types.includes("Files") && !types.includes(KIND)) return;
        event.preventDefault();
        over.value = true;
        tree.target.value = folderAt(tree, event.target);
      }}
      onDragLeave={() => {
        over.value = false;
        tree.target.value = undefined;
      }}
      onDrop={(event) => {
        event.preventDefault();
        over.value = false;
        tree.target.value = undefined;
        const folder = folderAt(tree, event.target);
        const own = dragged(event.dataTransfer);
        if (own === undefined) {
          void dropped(event.dataTransfer).then((found) => send(found, folder));
        } else if (folder !== parent(own) && !`${folder}/`.startsWith(`${own}/`)) {
          void move(own, below(folder, own.slice(parent(own).length).replace(/^\//, "")));
        }
      }}
    >
      <div class="filebar">
        <h2 class="grow">Files</h2>
        <Tool name="New file" icon="file" does={() => void make("file")} />
        <Tool name="New folder" icon="folder" does={() => void make("folder")} />
        <Tool name="Upload" icon="up" does={() => input.current?.click()} />
        <Tool name="Download all" icon="down" does={() => void save(seat, tree, "", true)} />
        <Tool name="Look again" icon="again" does={() => void tree.refresh()} />
      </div>
      <input
        ref={input}
        type="file"
        multiple
        hidden
        aria-label="Files to upload"
        onChange={(event) => {
          const files = Array.from(event.currentTarget.files ?? [], (file) => ({
            file,
            folder: "",
          }));
          event.currentTarget.value = "";
          void send(files, here());
        }}
      />
      {tree.trouble.value && (
        <p class="callout bad row" role="alert">
          <span class="grow">{tree.trouble.value}</span>
          <button
            type="button"
            class="quiet small"
            aria-label="Put this away"
            onClick={() => {
              tree.trouble.value = "";
            }}
          >
            ×
          </button>
        </p>
      )}
      <Lines
        tree={tree}
        onOpen={onOpen}
        onRename={(entry) => void rename(entry)}
        onRemove={(entry) => void remove(entry)}
        onSave={(entry) => void save(seat, tree, entry.path, entry.type === "directory")}
      />
      <UploadRows uploads={uploads} />
    </section>
  );
}

/** The folder that something is held over: that of the line there, else the workspace. */
function folderAt(tree: Tree, place: EventTarget | null): string {
  const line = (place as HTMLElement | null)?.closest<HTMLElement>("[data-path]");
  const entry = tree.find(line?.dataset.path ?? "");
  if (!entry) return "";
  return entry.type === "directory" ? entry.path : parent(entry.path);
}

function Tool({ name, icon, does }: { name: string; icon: Sign; does(): void }) {
  return (
    <button type="button" class="quiet square" aria-label={name} title={name} onClick={does}>
      <Icon of={icon} />
    </button>
  );
}

/** The browser's own download: its disk, its progress, whatever the size. */
async function save(seat: Seat, tree: Tree, path: string, archive: boolean): Promise<void> {
  await tree.act("Download", () => seat.files.save(path, { archive }));
}

function topOf({ file, folder }: Found): string {
  return (folder === "" ? file.name : folder).split("/")[0] ?? "";
}
