"""The words of `clarateach.terminal.v1`, and where one reader of a terminal stands.

Pure: frames in, events out. What a socket does with them is the terminal's.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum, auto
from urllib.parse import urlencode

from . import errors
from ._models.progress import TerminalEvent

SUBPROTOCOL = "clarateach.terminal.v1"
MAX_DATA = 64 * 1024
"""Bytes of terminal data in one frame, either way."""
ACK_EVERY = 64 * 1024
"""Bytes read between two acknowledgements: a quarter of the server's smallest window."""
COLS = range(2, 501)
ROWS = range(1, 301)


def keys(typed: str | bytes) -> bytes:
    """What is typed, as bytes. Raises `InvalidError`."""
    if isinstance(typed, str):
        return typed.encode("utf-8", "surrogateescape")
    if isinstance(typed, (bytes, bytearray, memoryview)):
        return bytes(typed)
    raise errors.InvalidError(f"{typed!r} cannot be typed: give text or bytes", reason="INVALID")


def check_size(cols: int, rows: int) -> None:
    """Raises `InvalidError`."""
    if cols not in COLS or rows not in ROWS:
        raise errors.InvalidError("cols must be 2 to 500 and rows 1 to 300", reason="BAD_SIZE")


def resize(cols: int, rows: int) -> str:
    """The frame that says the viewer's size."""
    check_size(cols, rows)
    return json.dumps({"type": "resize", "cols": cols, "rows": rows})


def consent(viewer: str, *, allow: bool) -> str:
    """The frame that lets a helper type, or no longer."""
    return json.dumps({"type": "consent", "viewer": viewer, "allow": allow})


@dataclass
class Place:
    """Where one reader stands in a terminal's output."""

    terminal: str
    cols: int
    rows: int
    instance: str | None = None
    """Of the shell; another one means another shell."""
    offset: int | None = None
    """Bytes of the shell's output up to here."""
    exit_code: int | None = None
    """Once the shell has ended."""
    live: bool = False
    """Whether what comes is new, and no replay."""
    _uncounted: int = 0
    _acked: int = 0
    _attached: bool = False
    _floor: int = 0

    def __post_init__(self) -> None:
        check_size(self.cols, self.rows)
        name = self.terminal
        if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9-]{1,32}", name):
            raise errors.InvalidError(
                "a terminal's name is 1 to 32 of a-z, 0-9 and -", reason="BAD_TERMINAL"
            )

    def query(self) -> str:
        """What an attach asks for: to continue here."""
        asked: dict[str, str | int] = {
            "terminal": self.terminal,
            "cols": self.cols,
            "rows": self.rows,
        }
        if self.offset is not None:
            asked["offset"] = self.offset
            if self.instance is not None:
                asked["instance"] = self.instance
        return urlencode(asked)

    def reopen(self) -> None:
        """Before a new socket: half a painted screen is painted again, whole."""
        if self._uncounted:
            self.offset, self._uncounted = None, 0

    def text(self, frame: str) -> TerminalEvent | None:
        """A control frame. None for what readers need not know."""
        try:
            said = json.loads(frame)
            kind = said.pop("type")
            return self._control(kind, said)
        except (ValueError, KeyError, TypeError, AttributeError) as cause:
            raise errors.ServerError(
                "the terminal sent a control frame that is none", reason="BAD_FRAME"
            ) from cause

    def _control(self, kind: str, said: dict[str, object]) -> TerminalEvent | None:
        self.live = kind == "live" or (self.live and kind not in ("attached", "repaint"))
        if kind == "attached":
            self.instance, self.offset = str(said["instance"]), int(str(said["offset"]))
            self._acked = self.offset
            again, self._attached = self._attached, True
            if not again:
                self._floor = self.offset
            return TerminalEvent("reconnected", said) if again else None
        if kind == "repaint":
            self.offset, self._uncounted = int(str(said["offset"])), int(str(said["bytes"]))
            self._floor = self.offset
            lost = int(str(said.get("lost", 0)))
            return TerminalEvent("lost", {"bytes": lost}) if lost else None
        if kind == "restarted":
            self.offset = self._floor = 0
        elif kind == "exit":
            self.exit_code = int(str(said["code"]))
            return None
        elif kind == "error":
            return TerminalEvent("refused", said)
        elif kind not in ("live", "resized", "viewers", "notice"):
            return None  # a later server may say more
        return TerminalEvent(kind, said)

    def data(self, frame: bytes) -> None:
        """Counts what came; a painted screen is no output of the shell."""
        painted = min(self._uncounted, len(frame))
        self._uncounted -= painted
        self.offset = (self.offset or 0) + len(frame) - painted

    def before(self, kept: int) -> int:
        """The offset before the last `kept` bytes that came; a painting has none."""
        return max((self.offset or 0) - kept, self._floor)

    def ack(self) -> str | None:
        """The acknowledgement that is due, if one is.

        Only who acknowledges can stop a flood with Ctrl-C: the shell waits for them.
        """
        offset = self.offset or 0
        if offset - self._acked < ACK_EVERY:
            return None
        self._acked = offset
        return json.dumps({"type": "ack", "offset": offset})


class Next(Enum):
    """What follows the end of a socket."""

    END = auto()
    AGAIN = auto()
    RENEW = auto()


def after_close(code: int) -> Next:
    """What to do after a close with `code`. Raises what only people can mend."""
    if code == 1000:
        return Next.END
    if code in (4401, 4409):
        return Next.RENEW  # expired, or reset: the seat is still the learner's
    if code == 4403:
        raise errors.AuthError(
            "the seat was taken away: ask your instructor for another", reason="SEAT_REVOKED"
        )
    if code == 4404:
        raise errors.NotFoundError("the workshop has no such seat", reason="SEAT_UNKNOWN")
    if code == 4410:
        raise errors.NotFoundError("the workshop is over", reason="WORKSHOP_OVER")
    if code in (1002, 1003, 1007, 1008, 1009):
        raise errors.ServerError(
            f"the terminal refused a frame (close code {code})", reason="BAD_FRAME"
        )
    return Next.AGAIN
