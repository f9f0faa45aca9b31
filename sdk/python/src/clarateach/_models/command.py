"""What a command said and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

Stream = Literal["stdout", "stderr"]


@dataclass(frozen=True)
class CommandEnd:
    """How a command ended."""

    exit_code: int | None
    """None when a signal ended it."""
    signal: str | None
    """Such as `SIGKILL`; None when it ended by itself."""
    timed_out: bool
    """Whether it was ended because its time was over."""


@dataclass(frozen=True)
class CommandResult(CommandEnd):
    r"""A command that ended, with what it said.

    >>> done = CommandResult(0, None, False, (("stdout", b"a\n"), ("stderr", b"b\n")))
    >>> done.output, done.stdout, done.exit_code
    ('a\nb\n', 'a\n', 0)
    """

    pieces: tuple[tuple[Stream, bytes], ...] = field(repr=False)
    """What it said, as bytes, in the order in which it arrived."""

    def _text(self, *streams: str) -> str:
        said = b"".join(piece for stream, piece in self.pieces if stream in streams)
        return said.decode(errors="replace")

    @cached_property
    def output(self) -> str:
        """Both streams as they arrived; bytes that are no UTF-8 become U+FFFD."""
        return self._text("stdout", "stderr")

    @cached_property
    def stdout(self) -> str:
        """Standard output alone."""
        return self._text("stdout")

    @cached_property
    def stderr(self) -> str:
        """Standard error alone."""
        return self._text("stderr")
