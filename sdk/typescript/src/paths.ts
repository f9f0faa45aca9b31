import { invalid } from "./duration.js";

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
      throw invalid(
        "path",
        `${JSON.stringify(path)} must not hold . or ..: name it from the workspace`,
      );
    }
    if (name.includes("\0")) throw invalid("path", "must not hold NUL", "BAD_PATH");
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
    throw invalid("path", `${JSON.stringify(name)} is no Unicode text`, "BAD_PATH");
  }
}
