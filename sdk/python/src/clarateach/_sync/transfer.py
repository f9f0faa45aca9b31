# Made by generate.sh from _async/transfer.py: edit that one.
"""Uploads and downloads of files and folders, some of them at a time."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from .. import _tasks_sync as tasks
from .._listing import below
from .._local import PIECE, AtomicFile, LocalFile, Tree, told
from .._models.files import FileEntry, TransferProgress, TransferResult
from .._paths import encode, local_name
from .._retry import TRIES, pause
from .._tally import Tally
from ..errors import ConflictError, LocalFileError, UnavailableError
from .way import Way

AT_ONCE = 8
"""Transfers of one call side by side."""
SMALL = 64 * 1024
"""Bytes of a file that is read or written in one go."""


class Upload:
    """One call of `upload`."""

    def __init__(
        self,
        way: Way,
        local: Path,
        remote: str,
        mkdir: Callable[[str], None],
        on_progress: Callable[[TransferProgress], None] | None,
    ) -> None:
        self._way = way
        self._local = local
        self._remote = remote
        self._mkdir = mkdir
        self._tally = Tally(on_progress)

    def run(self) -> TransferResult:
        """All of it."""
        with told("read", self._local):
            status = tasks.in_thread(self._local.stat)
        if stat.S_ISDIR(status.st_mode):
            return self._folder()
        if not stat.S_ISREG(status.st_mode):
            raise LocalFileError(f"{self._local} is no file and no folder", reason="LOCAL_FILE")
        if not self._remote:
            self._remote = self._local.name
        self._tally.expect(1, status.st_size)
        self._file(LocalFile(self._local, "", status.st_size))
        return self._tally.result()

    def _folder(self) -> TransferResult:
        tree = tasks.in_thread(Tree.walk, self._local)
        self._tally.expect(len(tree.files), sum(file.size for file in tree.files))
        self._tally.skipped += tree.skipped
        if self._remote:
            self._mkdir(self._remote)
        for folder in tree.folders:
            self._mkdir(below(self._remote, folder))
        with self._way.keeper.hold():
            tasks.each(self._file, tree.files, AT_ONCE)
        return self._tally.result()

    def _file(self, file: LocalFile) -> None:
        remote = below(self._remote, file.remote) if file.remote else self._remote
        sent = self._tally.file(remote)
        content: bytes | Callable[[], Iterator[bytes]]
        headers = {"content-length": str(file.size)}
        if file.size <= SMALL:
            with told("read", file.path):
                content = tasks.in_thread(file.path.read_bytes)
            headers = {}
        else:
            content = partial(self._pieces, file, sent)
        self._way.send("PUT", "files", encode(remote), headers=headers, content=content, file=True)
        sent.done(file.size)

    def _pieces(self, file: LocalFile, sent: Tally.File) -> Iterator[bytes]:
        sent.restart()
        left = file.size
        with told("read", file.path):
            source = tasks.in_thread(file.path.open, "rb")
        with source:
            for piece in tasks.pieces(partial(source.read, PIECE)):
                if len(piece) > left:
                    break
                left -= len(piece)
                yield piece
                sent.moved(len(piece))
        if left:
            # The length was promised; a file that shrank cannot keep it.
            raise LocalFileError(
                f"{file.path} changed while it was sent: send it again", reason="LOCAL_CHANGED"
            )


class Download:
    """One call of `download`."""

    def __init__(
        self,
        way: Way,
        remote: str,
        local: Path,
        list_folder: Callable[[str], list[FileEntry]],
        on_progress: Callable[[TransferProgress], None] | None,
    ) -> None:
        self._way = way
        self._remote = remote
        self._local = local
        self._list = list_folder
        self._tally = Tally(on_progress)

    def run(self) -> TransferResult:
        """All of it."""
        try:
            entries = self._list(self._remote)
        except ConflictError as error:
            if error.reason != "NOT_A_FOLDER":
                raise
        else:
            return self._folder(entries)
        local = self._local
        if local.is_dir():
            local = local / local_name(self._remote.rsplit("/", 1)[-1])
        self._tally.expect(1, 0)
        with self._way.keeper.hold():
            self._file((self._remote, local))
        return self._tally.result()

    def _folder(self, entries: list[FileEntry]) -> TransferResult:
        files: list[tuple[str, Path]] = []
        left = [(self._local, entries)]
        while left:
            folder, entries = left.pop()
            with told("make", folder):
                folder.mkdir(parents=True, exist_ok=True)
            for entry in entries:
                target = folder / local_name(
                    os.fsdecode(entry.name.encode("utf-8", "surrogateescape"))
                )
                if entry.is_dir:
                    left.append((target, self._list(entry.path)))
                elif entry.type == "file":
                    files.append((entry.path, target))
                    self._tally.expect(1, entry.size)
                else:
                    self._tally.skipped.append(entry.path)
        with self._way.keeper.hold():
            tasks.each(self._file, files, AT_ONCE)
        return self._tally.result()

    def _file(self, wanted: tuple[str, Path]) -> None:
        remote, local = wanted
        if local.is_dir():
            raise LocalFileError(f"{local} is a folder, not a file", reason="LOCAL_FILE")
        got = self._tally.file(remote)
        part = AtomicFile(local)
        try:
            part.open()  # not in a thread: that would go on when this is cancelled
            self._fetch(remote, part, got)
            tasks.in_thread(part.commit)
        finally:
            part.discard()
        got.done(got.bytes)

    def _fetch(self, remote: str, part: AtomicFile, got: Tally.File) -> None:
        """All bytes into `part`, going on where a connection broke."""
        attempt, etag = 0, ""
        while True:
            headers = {}
            if got.bytes and etag:
                headers = {"range": f"bytes={got.bytes}-", "if-range": etag}
            before = got.bytes
            try:
                with self._way.open(
                    "GET", "files", encode(remote), headers=headers, file=True
                ) as response:
                    if response.status_code != 206 and got.bytes:
                        part.restart()  # it is another file by now
                        got.restart()
                    etag = response.headers.get("etag", "")
                    for piece in response.iter_raw(PIECE):
                        tasks.goes_on()
                        tasks.in_thread(part.write, piece)
                        got.moved(len(piece))
                    return
            except UnavailableError as error:
                attempt = 0 if got.bytes > before else attempt + 1
                if attempt >= TRIES:
                    raise
                wait = pause(attempt, error.retry_after)
            tasks.sleep(wait)
