"""A command as the worker is asked for it, and its answer line by line."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ._models.command import CommandResult, Stream
from ._retry import Seconds, seconds
from .errors import ConnectionLostError, InvalidError

LONGEST = 24 * 60 * 60
"""Seconds a command may run at most: no workshop is longer."""


def order(
    command: str | Sequence[str],
    *,
    cwd: str | None,
    env: Mapping[str, str] | None,
    stdin: bytes | str | None,
    timeout: Seconds | None,
) -> bytes:
    """The body of the request. Without a timeout the command may run for a day.

    Raises `InvalidError`.
    """
    if not command:
        raise InvalidError("the command must not be empty", reason="BAD_COMMAND")
    limit = LONGEST if timeout is None else math.ceil(seconds(timeout))
    if not 1 <= limit <= LONGEST:
        raise InvalidError("timeout must be 1 second to 24 hours", reason="BAD_COMMAND")
    try:
        said: dict[str, object] = {"timeout_seconds": limit, "env": dict(env or {})}
        if isinstance(command, str):
            said["command"] = command
        else:
            said["argv"] = list(command)
        if cwd is not None:
            said["cwd"] = cwd
        if stdin is not None:
            given = stdin.encode() if isinstance(stdin, str) else stdin
            said["stdin"] = base64.b64encode(given).decode()
        return json.dumps(said).encode()
    except (TypeError, ValueError) as cause:
        raise InvalidError(
            f"command, cwd and env must be text: {cause}", reason="BAD_COMMAND"
        ) from cause


@dataclass
class Answer:
    """What a command said so far."""

    pieces: list[tuple[Stream, bytes]] = field(default_factory=list)
    killed: bool = False
    """Whether we ended it ourselves."""
    _end: dict[str, object] | None = None

    def take(self, line: str) -> tuple[Stream, bytes] | None:
        """One line: a piece of output, or None for its end and for what is not known."""
        try:
            said = json.loads(line)
            streams: tuple[Stream, Stream] = ("stdout", "stderr")
            for stream in streams:
                if stream in said:
                    piece = (stream, base64.b64decode(said[stream]))
                    self.pieces.append(piece)
                    return piece
        except (ValueError, TypeError) as cause:
            raise ConnectionLostError(
                "the command's output came in broken", reason="BROKEN_OUTPUT"
            ) from cause
        if "exit_code" in said or "signal" in said:
            self._end = said
        return None

    def result(self) -> CommandResult:
        """How it ended. Raises `ConnectionLostError` when that was never said."""
        end = self._end
        if end is None and self.killed:
            end = {"signal": "SIGKILL"}
        if end is None:
            raise ConnectionLostError(
                "the connection ended before the command did; it was ended with it",
                reason="COMMAND_CUT",
            )
        code, signal = end.get("exit_code"), end.get("signal")
        return CommandResult(
            exit_code=code if isinstance(code, int) else None,
            signal=str(signal) if signal is not None else None,
            timed_out=end.get("timed_out") is True,
            pieces=tuple(self.pieces),
        )
