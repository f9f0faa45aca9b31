import { invalid } from "./duration.js";
import type { InvalidError } from "./errors.js";

/**
 * A path below the workspace as a URL has it, with a leading slash; names may
 * hold anything but a slash and NUL. What would leave the workspace is refused
 * here already.
 */
export function urlPath(path: string): string {
  return `/${parts(path).map(encode).join("/")}`;
}

/** The names along a path; empty for the workspace itself. */
export function parts(path: string): string[] {
  const names = path.split("/").filter((name) => name !== "");
  for (const name of names) {
    if (name === "." || name === "..") {
      throw bad(`${JSON.stringify(path)} must not hold . or ..: name it from the workspace`);
    }
    if (name.includes("\0")) throw bad("must not hold NUL");
  }
  return names;
}

/** Two paths, one below the other. */
export function joinPaths(folder: string, below: string): string {
  return [...parts(folder), ...parts(below)].join("/");
}

function encode(name: string): string {
  try {
    return encodeURIComponent(name);
  } catch {
    throw bad(`${JSON.stringify(name)} is no Unicode text`);
  }
}

function bad(description: string): InvalidError {
  return invalid("path", description, "BAD_PATH");
}
