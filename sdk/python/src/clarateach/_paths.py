"""Names of files, there and here: nothing leaves the folder it should be in."""

from __future__ import annotations

import os
from urllib.parse import quote

from .errors import InvalidError


def segments(path: str) -> list[str]:
    """A path of the workspace in its parts.

    >>> segments("/src//a b.py"), segments("."), segments("")
    (['src', 'a b.py'], [], [])

    Raises `InvalidError`: `BAD_PATH`, before anything is asked of anybody.
    """
    if not isinstance(path, str):
        raise InvalidError(f"{path!r} is no path: give text", reason="BAD_PATH")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    for part in parts:
        if part == "..":
            raise InvalidError(
                f"{path!r} leaves the workspace: say it without `..`", reason="BAD_PATH"
            )
        if "\0" in part:
            raise InvalidError(f"{path!r}: no name can hold a NUL", reason="BAD_PATH")
        if len(raw(part)) > 255:
            raise InvalidError(
                f"{part[:40]!r}… has more than 255 bytes: no file can have such a name",
                reason="BAD_PATH",
            )
    return parts


def raw(name: str) -> bytes:
    """The bytes of a name there, whatever this machine's own encoding is."""
    try:
        return name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as cause:
        raise InvalidError(f"{name!r} cannot be a file's name", reason="BAD_PATH") from cause


def encode(path: str) -> str:
    r"""A path as a URL has it, without a leading slash.

    >>> encode("a#b/100%/ü?"), encode(os.fsdecode(b"\xff"))
    ('a%23b/100%25/%C3%BC%3F', '%FF')
    """
    return "/".join(quote(raw(part), safe="") for part in segments(path))


def clean(path: str) -> str:
    """A path as entries show it: no slash at either end."""
    return "/".join(segments(path))


def local_name(name: str) -> str:
    """A name from a seat as one here. Raises `InvalidError` when it could lead elsewhere."""
    separators = [os.sep, os.altsep or os.sep, "/", "\0"]
    if name in ("", ".", "..") or any(mark in name for mark in separators):
        raise InvalidError(
            f"{name!r} cannot be a file's name on this machine: rename it in the seat",
            reason="BAD_PATH",
        )
    return name
