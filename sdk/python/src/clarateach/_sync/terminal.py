# Made by generate.sh from _async/terminal.py: edit that one.
"""A terminal of a seat: bytes in, bytes out, whatever becomes of connections."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from .. import _tasks_sync as tasks
from .. import _terminal_wire as wire
from .._models.progress import TerminalEvent
from .._retry import Seconds, seconds
from .._terminal_wire import MAX_DATA, Place, check_size, consent, resize
from ..errors import ConflictError, DeadlineError
from .line import BROKEN, Line
from .way import Way


class Terminal:
    """One terminal: bytes in, bytes out. Closing it leaves the shell as it is."""

    def __init__(
        self,
        way: Way,
        name: str,
        *,
        cols: int,
        rows: int,
        offset: int | None,
        instance: str | None,
        on_event: Callable[[TerminalEvent], None] | None,
        patience: float,
    ) -> None:
        self._place = Place(name, cols, rows, instance, offset)
        self._line = Line(way, self._place, on_event, patience)
        self._kept = b""

    @property
    def name(self) -> str:
        """What it is called in the seat."""
        return self._place.terminal

    @property
    def offset(self) -> int:
        """Bytes of the shell's output up to what was read: give it to a later `terminal()`."""
        return self._place.before(len(self._kept))

    @property
    def instance(self) -> str | None:
        """Which shell that offset is of; None before the first use."""
        return self._place.instance

    @property
    def live(self) -> bool:
        """Whether what is read is new. Until then, drop what a screen answers to a replay."""
        return self._place.live

    @property
    def exit_code(self) -> int | None:
        """Of the shell, once it has ended and all it said was read."""
        return self._place.exit_code

    def read(self, timeout: Seconds | None = None) -> bytes:
        """The next output, as soon as there is some; b"" at the shell's end.

        What draws the present screen comes first, unless an offset was given. Raises
        `DeadlineError` when nothing came within `timeout`, `ConnectionLostError` when
        the connection did not come back within the terminal's patience, `AuthError`
        (`SEAT_REVOKED`) and `NotFoundError` (`WORKSHOP_OVER`).
        """
        if self._kept:
            kept, self._kept = self._kept, b""
            return kept
        until = None if timeout is None else time.monotonic() + seconds(timeout)
        while not self._line.over and not self._line.closed:
            socket = self._line.socket()
            left = None if until is None else max(until - time.monotonic(), 0.0)
            try:
                # Of what was read before, and not of this: between counting a frame and
                # giving it away nothing may fail.
                ack = self._place.ack()
                if ack is not None:
                    socket.send(ack)
                frame = tasks.receive(socket, left)
                if isinstance(frame, str):
                    self._line.tell(self._place.text(frame))
                    continue
                self._place.data(frame)
                if frame:
                    return frame
            except TimeoutError as cause:
                raise DeadlineError(
                    f"terminal {self.name} said nothing more in {seconds(timeout or 0):g} s",
                    reason="DEADLINE",
                ) from cause
            except BROKEN as cause:
                if self._line.ended(socket, cause):
                    return b""
        return b""

    def read_until(self, wanted: str | bytes, timeout: Seconds = 30) -> bytes:
        """Output up to and with `wanted`; what came after it is for the next read.

        Raises `DeadlineError` after `timeout`, and `ConflictError` (`SHELL_ENDED`) when
        the shell ends before; what it said is then still to be read.
        """
        mark = wire.keys(wanted)
        until, seen = time.monotonic() + seconds(timeout), b""
        while mark not in seen:
            try:
                piece = self.read(max(until - time.monotonic(), 0.0))
            except DeadlineError:
                self._kept = seen
                raise
            if not piece:
                self._kept = seen
                raise ConflictError(
                    f"the shell ended before it said {wanted!r}", reason="SHELL_ENDED"
                )
            seen += piece
        end = seen.index(mark) + len(mark)
        self._kept = seen[end:] + self._kept
        return seen[:end]

    def write(self, keys: str | bytes) -> None:
        """Types. What went out just as a connection broke may be lost, and is never typed twice.

        Raises as `read`, and `ConflictError` (`SHELL_ENDED`).
        """
        data = wire.keys(keys)
        for start in range(0, len(data), MAX_DATA):
            self._send(data[start : start + MAX_DATA])

    def resize(self, cols: int, rows: int) -> None:
        """Says this viewer's size, 2 to 500 by 1 to 300. Raises `InvalidError`."""
        check_size(cols, rows)
        self._place.cols, self._place.rows = cols, rows
        self._send(resize(cols, rows))

    def consent(self, viewer: str, *, allow: bool) -> None:
        """Lets a helper type, or no longer; `viewers` events name who is there."""
        self._send(consent(viewer, allow=allow))

    def _send(self, frame: str | bytes) -> None:
        while self._place.exit_code is None and not self._line.closed:
            socket = self._line.socket()
            try:
                socket.send(frame)
            except BROKEN as cause:
                if self._line.ended(socket, cause):
                    break
            else:
                return
        raise ConflictError(f"the shell of terminal {self.name} has ended", reason="SHELL_ENDED")

    def close(self) -> None:
        """Lets go; the shell goes on."""
        self._line.close()

    def __enter__(self) -> Terminal:
        try:
            self._line.socket()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Terminal:
        return self

    def __next__(self) -> bytes:
        piece = self.read()
        if not piece:
            raise StopIteration
        return piece

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"
