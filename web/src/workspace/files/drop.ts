// What a drop holds: files, and folders with all that is in them.

/** A file, and the folder that it was in, below the drop. */
export interface Found {
  readonly file: File;
  /** "" for a file that was dropped itself. */
  readonly folder: string;
}

/** How a line of the tree is known while it is dragged: pages of others cannot drop one. */
export const KIND = "application/x-clarateach-path";

/** The path that is dragged within the tree; undefined for files from elsewhere. */
export function dragged(transfer: DataTransfer | null): string | undefined {
  return transfer?.getData(KIND) || undefined;
}

/** Everything in a drop. What cannot be read is left out. */
export async function dropped(transfer: DataTransfer | null): Promise<Found[]> {
  // Both must be asked for before the first await: the drop is gone after it.
  const items = Array.from(transfer?.items ?? []);
  const entries = items.map((item) => item.webkitGetAsEntry());
  const plain = Array.from(transfer?.files ?? []);
  const found: Found[] = [];
  const known = entries.filter((entry) => entry !== null);
  if (known.length === 0) return plain.map((file) => ({ file, folder: "" }));
  for (const entry of known) await walk(entry, "", found);
  return found;
}

async function walk(entry: FileSystemEntry, folder: string, found: Found[]): Promise<void> {
  if (entry.isFile) {
    const file = await new Promise<File | undefined>((resolve) =>
      (entry as FileSystemFileEntry).file(resolve, () => resolve(undefined)),
    );
    if (file) found.push({ file, folder });
    return;
  }
  const below = folder === "" ? entry.name : `${folder}/${entry.name}`;
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    // A hundred at a time, until there are none.
    const some = await new Promise<FileSystemEntry[]>((resolve) =>
      reader.readEntries(resolve, () => resolve([])),
    );
    if (some.length === 0) return;
    for (const one of some) await walk(one, below, found);
  }
}
