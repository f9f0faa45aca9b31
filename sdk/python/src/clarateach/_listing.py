"""A folder as the worker lists it."""

from __future__ import annotations

import json
import os
import stat as modes
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Literal
from urllib.parse import unquote_to_bytes, urlsplit
from xml.etree import ElementTree

from ._models.files import FileEntry, FileType
from .errors import ServerError

_TYPES: dict[str, FileType] = {"file": "file", "directory": "directory", "symlink": "symlink"}
PROPERTIES = (
    b'<?xml version="1.0"?><propfind xmlns="DAV:"><prop><resourcetype/><getcontentlength/>'
    b"<getlastmodified/><getetag/></prop></propfind>"
)


def page(body: bytes, folder: str) -> tuple[list[FileEntry], str]:
    """One page of a listing in JSON, and the token of the next. Raises `ServerError`."""
    try:
        said = json.loads(body)
        entries = [_entry(entry, folder) for entry in said["entries"]]
        return entries, str(said["next_page_token"])
    except (ValueError, KeyError, TypeError, AttributeError) as cause:
        raise ServerError("the worker listed a folder in no known way", reason="LISTING") from cause


def _entry(said: dict[str, object], folder: str) -> FileEntry:
    name, modified = str(said["name"]), said.get("modified")
    return FileEntry(
        name=name,
        path=below(folder, name),
        type=_TYPES.get(str(said["type"]), "other"),
        size=int(str(said["size"])),
        # Before 3.11 a Z at the end is not understood.
        modified=datetime.fromisoformat(str(modified).replace("Z", "+00:00")) if modified else None,
        etag=str(said["etag"]),
        mode=int(str(said["mode"]), 8),
    )


def below(folder: str, name: str) -> str:
    """A path within a folder; the workspace itself is the empty path."""
    return f"{folder}/{name}" if folder else name


def is_whole(entries: list[FileEntry]) -> bool:
    """Whether every name can be asked for: JSON cannot say bytes that are no UTF-8."""
    return all("\ufffd" not in entry.name for entry in entries)


def properties(body: bytes, folder: str) -> list[FileEntry]:
    """The same folder by PROPFIND, whose names are bytes. Raises `ServerError`."""
    try:
        # A document type could make a small answer huge; WebDAV has none.
        if b"<!DOCTYPE" in body[:4096].upper():
            raise ServerError("the worker's listing is no WebDAV", reason="LISTING")
        root = ElementTree.fromstring(body)  # noqa: S314 - no document type, so no entities
        return sorted(_described(root, folder), key=lambda entry: os.fsencode(entry.name))
    except (ElementTree.ParseError, ValueError, TypeError) as cause:
        raise ServerError("the worker listed a folder in no known way", reason="LISTING") from cause


def _described(root: ElementTree.Element, folder: str) -> Iterator[FileEntry]:
    # The folder itself comes first: what follows lies in it.
    for response in root.findall("{DAV:}response")[1:]:
        href = urlsplit(response.findtext("{DAV:}href", "")).path.rstrip("/")
        name = unquote_to_bytes(href.rsplit("/", 1)[-1]).decode("utf-8", "surrogateescape")
        is_dir = response.find(".//{DAV:}resourcetype/{DAV:}collection") is not None
        kind: Literal["file", "directory"] = "directory" if is_dir else "file"
        when = response.findtext(".//{DAV:}getlastmodified")
        yield FileEntry(
            name=name,
            path=below(folder, name),
            type=kind,
            size=int(response.findtext(".//{DAV:}getcontentlength") or 0),
            modified=parsedate_to_datetime(when) if when else None,
            etag=response.findtext(".//{DAV:}getetag") or "",
            mode=modes.S_IMODE(0o755 if is_dir else 0o644),
        )
