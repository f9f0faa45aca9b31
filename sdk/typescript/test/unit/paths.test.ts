import { expect, test } from "vitest";
import { joinPaths, urlPath } from "../../src/paths.js";

test("a path is one spelling of names, or refused", () => {
  const good = [
    ["", "/"],
    ["/", "/"],
    ["a", "/a"],
    ["/a//b/", "/a/b"],
    ["a b/ü%#?.txt", "/a%20b/%C3%BC%25%23%3F.txt"],
    ["a\\b", "/a%5Cb"],
    ["😀", "/%F0%9F%98%80"],
    ["...", "/..."],
  ];
  for (const [path, url] of good) expect(urlPath(path as string)).toBe(url);
  for (const path of ["..", "a/../b", "./a", "a\0", "\ud800"]) {
    expect(() => urlPath(path)).toThrow(expect.objectContaining({ reason: "BAD_PATH" }));
  }
  expect(joinPaths("/a/", "b/c")).toBe("a/b/c");
});
