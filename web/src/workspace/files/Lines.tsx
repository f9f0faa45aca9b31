import type { FileEntry } from "@clarateach/sdk";
import { useEffect, useRef } from "preact/hooks";
import { KIND } from "./drop.js";
import { parent, type Row, SHOWN, type Tree } from "./tree.js";

interface Props {
  tree: Tree;
  onOpen(entry: FileEntry): void;
  onRename(entry: FileEntry): void;
  onRemove(entry: FileEntry): void;
  onSave(entry: FileEntry): void;
}

/** Letters typed within this belong to one name, in milliseconds. */
const TYPING_MS = 700;

/** The lines of the tree, by the pattern that assistive technology knows: one stop for Tab, arrows within. */
export function Lines({ tree, onOpen, onRename, onRemove, onSave }: Props) {
  const rows = tree.rows.value;
  const selected = tree.selected.value;
  const list = useRef<HTMLDivElement>(null);
  const typed = useRef({ text: "", at: 0 });
  const moved = useRef(false);
  const at = Math.max(
    0,
    rows.findIndex(({ entry }) => entry.path === selected),
  );
  useEffect(() => {
    if (!moved.current) return;
    moved.current = false;
    list.current?.querySelector<HTMLElement>('[tabindex="0"]')?.focus();
  }, [selected]);
  const go = (to: number) => {
    const row = rows[Math.min(Math.max(to, 0), rows.length - 1)];
    if (!row || row.entry.path === selected) return;
    moved.current = true;
    tree.selected.value = row.entry.path;
  };
  const activate = (entry: FileEntry) => {
    tree.selected.value = entry.path;
    if (entry.type === "directory") void tree.toggle(entry.path);
    else onOpen(entry);
  };
  const find = (letter: string) => {
    const now = performance.now();
    const before = now - typed.current.at < TYPING_MS ? typed.current.text : "";
    typed.current = { text: before + letter.toLowerCase(), at: now };
    // A first letter goes on from here; more of them look at this line, too.
    const from = at + (before === "" ? 1 : 0);
    const turned = [...rows.keys()].map((n) => (n + from) % rows.length);
    const found = turned.find((n) => named(rows[n], typed.current.text));
    if (found !== undefined) go(found);
  };
  const key = (event: KeyboardEvent) => {
    const row = rows[at];
    if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
    const { entry, open } = row;
    const folder = entry.type === "directory";
    const act: Record<string, () => void> = {
      ArrowDown: () => go(at + 1),
      ArrowUp: () => go(at - 1),
      Home: () => go(0),
      End: () => go(rows.length - 1),
      Enter: () => activate(entry),
      " ": () => activate(entry),
      F2: () => onRename(entry),
      Delete: () => onRemove(entry),
      ArrowRight: () => {
        if (folder && !open) void tree.toggle(entry.path, true);
        else if (folder) go(at + 1);
      },
      ArrowLeft: () => {
        if (folder && open) void tree.toggle(entry.path, false);
        else go(rows.findIndex((other) => other.entry.path === parent(entry.path)));
      },
    };
    const does = act[event.key];
    if (does) does();
    else if (event.key.length === 1) find(event.key);
    else return;
    event.preventDefault();
  };
  if (rows.length === 0) {
    return (
      <p class="aside empty">No files yet. What your shell makes is here, and what you drop.</p>
    );
  }
  const now = rows[at]?.entry;
  return (
    <>
      <div ref={list} role="tree" aria-label="Files" class="lines" onKeyDown={key}>
        {rows.map(({ entry, level, open, at: place, of }, n) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the tree itself listens
          <div
            key={entry.path}
            role="treeitem"
            class={`line ${entry.type === "directory" && entry.path === tree.target.value ? "target" : ""}`}
            draggable
            onDragStart={({ dataTransfer }) => {
              dataTransfer?.setData(KIND, entry.path);
              if (dataTransfer) dataTransfer.effectAllowed = "move";
            }}
            style={`--level:${level}`}
            data-path={entry.path}
            tabIndex={n === at ? 0 : -1}
            aria-level={level}
            aria-posinset={place}
            aria-setsize={of}
            aria-selected={entry.path === selected}
            {...(entry.type === "directory" ? { "aria-expanded": open } : {})}
            title={entry.type === "file" ? `${entry.path}, ${size(entry.size)}` : entry.path}
            onClick={() => activate(entry)}
          >
            <span class="sign" aria-hidden="true">
              {entry.type === "directory" ? (open ? "▾" : "▸") : ""}
            </span>
            <span class="cut">
              {entry.name}
              {entry.type === "symlink" ? " ↗" : ""}
            </span>
          </div>
        ))}
        {rows.length >= SHOWN && <p class="aside empty">More is there: the shell shows all.</p>}
      </div>
      {now && selected !== "" && (
        <div class="filebar acts" role="toolbar" aria-label={`What to do with ${now.name}`}>
          <span class="cut grow aside" title={now.path}>
            {now.name}
          </span>
          <button type="button" class="quiet small" onClick={() => onRename(now)}>
            Rename
          </button>
          <button type="button" class="quiet small" onClick={() => onSave(now)}>
            Download
          </button>
          <button type="button" class="quiet small" onClick={() => onRemove(now)}>
            Delete
          </button>
        </div>
      )}
    </>
  );
}

function named(row: Row | undefined, begins: string): boolean {
  return row?.entry.name.toLowerCase().startsWith(begins) ?? false;
}

/** Bytes as people say them. */
export function size(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let left = bytes;
  let unit = 0;
  while (left >= 1024 && unit < units.length - 1) {
    left /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? left : left.toFixed(1)} ${units[unit]}`;
}
