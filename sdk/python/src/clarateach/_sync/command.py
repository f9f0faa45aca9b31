# Made by generate.sh from _async/command.py: edit that one.
"""One command that runs in a seat, without a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import httpx

from .._exec_wire import Answer
from .._models.command import CommandResult, Stream
from ..errors import CommandFailedError


class Command:
    """A running command: iterate over what it says, then ask for its `result`.

    Leaving its `with` before the end ends the command and all it started.
    """

    def __init__(self, command: str | Sequence[str], response: httpx.Response) -> None:
        self._command = command
        self._answer = Answer()
        self._lines = self._read(response)

    def _read(self, response: httpx.Response) -> Iterator[tuple[Stream, bytes]]:
        for line in response.iter_lines():
            piece = self._answer.take(line) if line else None
            if piece is not None:
                yield piece

    def __iter__(self) -> Iterator[tuple[Stream, bytes]]:
        """Pieces of output as they come: `("stdout", b"…")` or `("stderr", b"…")`."""
        return self._lines

    def result(self, *, check: bool = False) -> CommandResult:
        """How it ended; waits for that.

        Raises `CommandFailedError` with `check` and another exit code than 0, and
        `ConnectionLostError` when the connection ended before the command.
        """
        for _ in self._lines:
            pass
        result = self._answer.result()
        if check and result.exit_code != 0:
            line = self._command if isinstance(self._command, str) else " ".join(self._command)
            raise CommandFailedError(line, result)
        return result
