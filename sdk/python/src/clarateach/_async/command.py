"""One command that runs in a seat, without a terminal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import httpx

from .._exec_wire import Answer
from .._models.command import CommandResult, Stream
from ..errors import CommandFailedError


class AsyncCommand:
    """A running command: iterate over what it says, then ask for its `result`.

    Leaving its `with` before the end ends the command and all it started.
    """

    def __init__(self, command: str | Sequence[str], response: httpx.Response) -> None:
        self._command = command
        self._answer = Answer()
        self._lines = self._read(response)

    async def _read(self, response: httpx.Response) -> AsyncIterator[tuple[Stream, bytes]]:
        async for line in response.aiter_lines():
            piece = self._answer.take(line) if line else None
            if piece is not None:
                yield piece

    def __aiter__(self) -> AsyncIterator[tuple[Stream, bytes]]:
        """Pieces of output as they come: `("stdout", b"…")` or `("stderr", b"…")`."""
        return self._lines

    async def result(self, *, check: bool = False) -> CommandResult:
        """How it ended; waits for that.

        Raises `CommandFailedError` with `check` and another exit code than 0, and
        `ConnectionLostError` when the connection ended before the command.
        """
        async for _ in self._lines:
            pass
        result = self._answer.result()
        if check and result.exit_code != 0:
            line = self._command if isinstance(self._command, str) else " ".join(self._command)
            raise CommandFailedError(line, result)
        return result
