"""Files on this machine: written whole or not at all, and walked without
following links.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from .errors import LocalFileError

MARK = ".clarateach-part-"
"""What the name of a half-written file begins with."""
PIECE = 256 * 1024
"""Bytes read or written at once."""


@contextmanager
def told(act: str, file: Path) -> Iterator[None]:
    """Turns what the system refuses into an error of ours."""
    try:
        yield
    except LocalFileError:
        raise
    except OSError as cause:
        raise LocalFileError(
            f"cannot {act} {file}: {cause.strerror or cause}", reason="LOCAL_FILE"
        ) from cause


class AtomicFile:
    """A file that appears under its name only when it is complete."""

    def __init__(self, target: Path) -> None:
        self._target = target
        # Not made of the target's name: that may be as long as names can be.
        self._part = target.with_name(MARK + secrets.token_hex(8))
        self._file: BinaryIO = BytesIO()

    def open(self) -> None:
        """Begins; only after this there is something to discard. Raises `LocalFileError`."""
        with told("write", self._target):
            self._file = self._part.open("xb")

    def write(self, piece: bytes) -> None:
        """Appends. Raises `LocalFileError`, such as for a full disk."""
        with told("write", self._target):
            self._file.write(piece)

    def restart(self) -> None:
        """Forgets what was written."""
        with told("write", self._target):
            self._file.seek(0)
            self._file.truncate()

    def commit(self) -> None:
        """On disk, then under its name."""
        with told("write", self._target):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._part.replace(self._target)

    def discard(self) -> None:
        """As if nothing had been written; after `commit` it does nothing."""
        with suppress(OSError):  # a full disk says so once more
            self._file.close()
        self._part.unlink(missing_ok=True)


@dataclass(frozen=True)
class LocalFile:
    """A file to upload."""

    path: Path
    remote: str
    """Below the folder that is uploaded."""
    size: int


@dataclass(frozen=True)
class Tree:
    """A folder to upload."""

    folders: list[str]
    """Each after the one it is in."""
    files: list[LocalFile]
    skipped: list[str]
    """Links and special files."""

    @classmethod
    def walk(cls, root: Path) -> Tree:
        """All of it, by name. Raises `LocalFileError`."""
        tree = cls([], [], [])
        with told("read", root):
            tree._add(root, "")
        return tree

    def _add(self, folder: Path, within: str) -> None:
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            remote = within + entry.name
            if entry.is_dir(follow_symlinks=False):
                self.folders.append(remote)
                self._add(Path(entry.path), remote + "/")
            elif entry.is_file(follow_symlinks=False):
                size = entry.stat(follow_symlinks=False).st_size
                self.files.append(LocalFile(Path(entry.path), remote, size))
            else:
                self.skipped.append(remote)
