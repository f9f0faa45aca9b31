"""Everything that can go wrong, under one root.

Every error says what to do next. Match on the class for what your program should
do, and on `reason` for exactly what happened: it is the server's stable word
(`SEATS_EXHAUSTED`, `CODE_UNKNOWN`, …) or one of ours (`UNREACHABLE`, `PLAIN_HTTP`, …).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._models.command import CommandResult
    from ._models.workshop import WorkshopInfo


@dataclass(frozen=True)
class FieldViolation:
    """One field of a request that is not as it must be."""

    field: str
    """The field, as the schema calls it, such as `egress.allow[3]`."""
    description: str
    """What it must be."""


class ClarateachError(Exception):
    """Root of all errors of this package.

    >>> try:
    ...     raise ClarateachError("the class is full", reason="SEATS_EXHAUSTED", retry_after=10)
    ... except ClarateachError as error:
    ...     print(error.reason, error.retry_after, error)
    SEATS_EXHAUSTED 10 the class is full
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "UNKNOWN",
        retry_after: float | None = None,
        fields: Sequence[FieldViolation] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        """For people: what happened, and what to do."""
        self.reason = reason
        """Stable, for programs."""
        self.retry_after = retry_after
        """Seconds until it is worth trying again; None when nothing is known of that."""
        self.fields = tuple(fields)
        """What is wrong with which field, when the request was."""
        self.request_id: str | None = None
        """The request id of the call that failed, if it had one: for the operator."""

    def __reduce__(self) -> tuple[object, ...]:
        # As it is, to another process: not by calling its class again.
        return _again, (type(self), self.args, self.__dict__)

    def __str__(self) -> str:
        return self.message

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.message!r}, reason={self.reason!r})"


def _again(
    kind: type[ClarateachError], args: tuple[object, ...], state: dict[str, object]
) -> ClarateachError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class AuthError(ClarateachError, PermissionError):
    """No token, a wrong one, or one that may not do this."""


class NotFoundError(ClarateachError):
    """No such workshop, seat, join code or terminal."""


class FileMissingError(NotFoundError, FileNotFoundError):
    """No such file in the seat."""


class InvalidError(ClarateachError, ValueError):
    """The request is not as it must be; `fields` says where."""


class ConflictError(ClarateachError):
    """Not in this state: stopped, over, in use, in the way."""


class ExhaustedError(ClarateachError):
    """No seat, quota, place or disk space is left; `retry_after` may say until when."""


class UnavailableError(ClarateachError, ConnectionError):
    """The server or the worker does not answer; safe to try again."""


class ConnectionLostError(UnavailableError):
    """A connection broke and could not be had again in time."""


class DeadlineError(ClarateachError, TimeoutError):
    """It took longer than you were willing to wait."""


class CertificateError(ClarateachError):
    """The other side is not who it should be, or a clock is wrong."""


class UnsupportedError(ClarateachError):
    """This server does not have that yet."""


class ServerError(ClarateachError):
    """The server failed, or what answers is no ClaraTeach server."""


class LocalFileError(ClarateachError, OSError):
    """A file on this machine could not be read or written; the cause says why."""


class WorkshopFailedError(ClarateachError):
    """A workshop or a seat will not become what you wait for."""

    def __init__(
        self, what: str, state: str, why: str, workshop: WorkshopInfo | None = None
    ) -> None:
        super().__init__(
            f"{what} is {state}: {why or 'the server gives no reason'}",
            reason=f"{what.split()[0]}_{state}".upper(),
        )
        self.state = state
        """The state in which it is, such as `failed`."""
        self.workshop = workshop
        """As it was then, for who may see it."""


class CommandFailedError(ClarateachError):
    """A command run with `check=True` ended with another exit code than 0."""

    def __init__(self, command: str, result: CommandResult) -> None:
        how = f"exit code {result.exit_code}" if result.signal is None else result.signal
        if result.timed_out:
            how = "its time was over"
        super().__init__(f"{command!r} failed ({how}): {result.stderr[-500:]}", reason="COMMAND")
        self.result = result
        """What it said and how it ended."""
