"""Files of a seat, and transfers of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

FileType = Literal["file", "directory", "symlink", "other"]


@dataclass(frozen=True)
class FileEntry:
    """One entry of a folder."""

    name: str
    """Bytes that are no UTF-8 are there as `os.fsdecode` gives them."""
    path: str
    """From the workspace's root, such as `src/main.py`."""
    type: FileType
    size: int
    """In bytes."""
    modified: datetime | None
    etag: str
    mode: int
    """Permission bits."""

    @property
    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return self.type == "directory"


@dataclass(frozen=True)
class TransferProgress:
    """How far an upload or a download is."""

    path: str
    """The file that moved on last."""
    bytes_done: int
    bytes_total: int
    files_done: int
    files_total: int


@dataclass(frozen=True)
class TransferResult:
    """What an upload or a download did."""

    files: int
    """Files that are complete now."""
    bytes: int
    skipped: tuple[str, ...]
    """Symbolic links and special files: they are not followed and not copied."""
