"""One command that runs in a seat, without a terminal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import httpx

from .._exec_wire import Answer
from .._models.command import CommandEnd, CommandResult, Stream
from ..errors import CommandFailedError


class AsyncCommand:
    """A running command: iterate over what it says, then ask for its `result`.

    Leaving its `with` before the end ends the command and all it started.
    """

    def __init__(self, command: str | Sequence[str], response: httpx.Response) -> None:
        self._command = command
        self._answer = Answer()
        self._response = response
        self._lines = self._read()

    async def _read(self) -> AsyncIterator[tuple[Stream, bytes]]:
        try:
            async for line in self._response.aiter_lines():
                piece = self._answer.take(line) if line else None
                if piece is not None:
                    yield piece
        except (httpx.StreamError, httpx.TransportError):
            if not self._answer.killed:
                raise

    def __aiter__(self) -> AsyncIterator[tuple[Stream, bytes]]:
        """Pieces of output as they come: `("stdout", b"…")` or `("stderr", b"…")`."""
        return self._lines

    async def kill(self) -> None:
        """Ends it, with everything it started."""
        self._answer.killed = True
        await self._response.aclose()

    async def wait(self) -> CommandEnd:
        r"""How it ended, once it has; output that nobody has read is passed over.

        >>> async with seat.start("sleep 1000") as command:
        ...     await command.kill()
        ...     (await command.wait()).signal
        'SIGKILL'
        """
        return await self.result()

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
