"""How far a transfer is: one tally, whoever of its workers moves on."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ._models.files import TransferProgress, TransferResult


class Tally:
    """Files and bytes of one transfer. Told is one worker at a time."""

    class File:
        """One file of it."""

        def __init__(self, tally: Tally, path: str) -> None:
            self._tally = tally
            self._path = path
            self.bytes = 0
            """That moved so far."""

        def moved(self, count: int) -> None:
            """So many bytes more."""
            self.bytes += count
            self._tally._add(self._path, count, 0)

        def restart(self) -> None:
            """It begins anew."""
            self._tally._add(self._path, -self.bytes, 0)
            self.bytes = 0

        def done(self, size: int) -> None:
            """It is complete, with so many bytes."""
            self._tally._add(self._path, size - self.bytes, 1)
            self.bytes = size

    def __init__(self, on_progress: Callable[[TransferProgress], None] | None) -> None:
        self._on_progress = on_progress
        self._lock = threading.Lock()
        self._files = self._bytes = self._all_files = self._all_bytes = 0
        self.skipped: list[str] = []
        """What is neither file nor folder."""

    def expect(self, files: int, size: int) -> None:
        """So many more are to come."""
        self._all_files += files
        self._all_bytes += size

    def file(self, path: str) -> File:
        """Begins one."""
        return self.File(self, path)

    def _add(self, path: str, count: int, files: int) -> None:
        with self._lock:
            self._bytes += count
            self._files += files
            if self._on_progress is not None and (count > 0 or files):
                total = max(self._all_bytes, self._bytes)
                self._on_progress(
                    TransferProgress(path, self._bytes, total, self._files, self._all_files)
                )

    def result(self) -> TransferResult:
        """What was done."""
        return TransferResult(self._files, self._bytes, tuple(self.skipped))
