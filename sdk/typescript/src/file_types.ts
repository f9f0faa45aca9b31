// What files of a seat are, and how they are asked for.

/** One thing in a folder. */
export interface FileEntry {
  /** Its name, without the folder. */
  readonly name: string;
  /** Its path from the workspace. */
  readonly path: string;
  readonly type: "file" | "directory" | "symlink" | "other";
  /** Whether it is a folder. */
  readonly isDir: boolean;
  /** In bytes. */
  readonly size: number;
  readonly modified: Date | undefined;
  /** Changes with every write; for `ifMatch`. */
  readonly etag: string;
  /** Permissions, such as 0o644. */
  readonly mode: number;
}

/** Options of everything that files can do. */
export interface FileOptions {
  /** Ends it: the signal's reason is thrown. */
  readonly signal?: AbortSignal | undefined;
}

/** How to write. */
export interface WriteOptions extends FileOptions {
  /** Only over the file that has this ETag; ConflictError otherwise. */
  readonly ifMatch?: string;
  /** Only where no file is; ConflictError otherwise. */
  readonly create?: boolean;
}

/** How to move or copy. */
export interface MoveOptions extends FileOptions {
  /** Over what is at the target; otherwise that is a ConflictError. */
  readonly overwrite?: boolean;
}

/** How far an upload or a download is. */
export interface TransferProgress {
  /** The file that is under way, below the workspace. */
  readonly path: string;
  /** Bytes so far, of all files. */
  readonly bytesDone: number;
  /** Bytes in all. */
  readonly bytesTotal: number;
  /** Files that are complete. */
  readonly filesDone: number;
  /** Files in all. */
  readonly filesTotal: number;
}

/** What was moved. */
export interface TransferResult {
  /** Files. */
  readonly files: number;
  /** Bytes of them. */
  readonly bytes: number;
  /** What is neither file nor folder, and was left out. */
  readonly skipped: readonly string[];
}

/** How to upload or download. */
export interface TransferOptions extends FileOptions {
  /** Told as it goes. */
  readonly onProgress?: (progress: TransferProgress) => void;
}
