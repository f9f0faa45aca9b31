# Made by generate.sh from _async/terminal.py: edit that one.
"""A terminal of a seat, over as many sockets as it takes.

Way: attach -> frames -> `Place` counts them -> the reader; a socket that breaks is
replaced, and output goes on at the byte where it broke.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from types import TracebackType

from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    WebSocketException,
)

from .. import _refusals, _trust
from .. import _tasks_sync as tasks
from .._models.progress import TerminalEvent
from .._retry import Seconds, pause, seconds
from .._terminal_wire import (
    MAX_DATA,
    SUBPROTOCOL,
    Next,
    Place,
    after_close,
    check_size,
    consent,
    resize,
)
from ..errors import (
    AuthError,
    CertificateError,
    ClarateachError,
    ConflictError,
    ConnectionLostError,
    DeadlineError,
    UnavailableError,
)
from .way import Way

OPEN = 10.0
"""Seconds for one attempt to attach."""


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
        self._way = way
        self._place = Place(name, cols, rows, instance, offset)
        self._on_event = on_event
        self._patience = patience
        self._socket: tasks.Socket | None = None
        self._lock = tasks.Lock()
        self._held = ExitStack()
        self._holds = False
        self._closed = False
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
        while self._place.exit_code is None or self._socket is not None:
            if self._closed:
                return b""
            socket = self._attached()
            left = None if until is None else max(until - time.monotonic(), 0.0)
            try:
                # Of what was read before, and not of this: between counting a frame and
                # giving it away nothing may fail.
                ack = self._place.ack()
                if ack is not None:
                    socket.send(ack)
                frame = tasks.receive(socket, left)
                if isinstance(frame, str):
                    self._tell(self._place.text(frame))
                    continue
                self._place.data(frame)
                if frame:
                    return frame
            except TimeoutError as cause:
                raise DeadlineError(
                    f"terminal {self.name} said nothing more in {seconds(timeout or 0):g} s",
                    reason="DEADLINE",
                ) from cause
            except (ConnectionClosed, OSError) as cause:
                if self._ended(socket, cause):
                    return b""
        return b""

    def read_until(self, wanted: str | bytes, timeout: Seconds = 30) -> bytes:
        """Output up to and with `wanted`; what came after it is for the next read.

        Raises `DeadlineError` after `timeout`, and `ConflictError` (`SHELL_ENDED`) when
        the shell ends before; what it said is then still to be read.
        """
        mark = wanted.encode() if isinstance(wanted, str) else wanted
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
        data = keys.encode() if isinstance(keys, str) else keys
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
        while self._place.exit_code is None and not self._closed:
            socket = self._attached()
            try:
                socket.send(frame)
            except (ConnectionClosed, OSError) as cause:
                if self._ended(socket, cause):
                    break
            else:
                return
        raise ConflictError(f"the shell of terminal {self.name} has ended", reason="SHELL_ENDED")

    def _tell(self, event: TerminalEvent | None) -> None:
        if event is not None and self._on_event is not None:
            self._on_event(event)

    def _ended(self, socket: tasks.Socket, cause: Exception) -> bool:
        """A socket broke. True when that was the end; False when there will be another."""
        code = cause.rcvd.code if isinstance(cause, ConnectionClosed) and cause.rcvd else 1006
        follows = after_close(code) if not self._closed else Next.END
        with self._lock:
            if self._socket is not socket:
                return self._closed  # somebody else has seen to it
            self._socket = None
            if follows is Next.END:
                self._place.exit_code = self._place.exit_code or 0
                return True
        with suppress(OSError, WebSocketException):
            socket.close()
        self._tell(TerminalEvent("reconnecting", {"code": code}))
        if follows is Next.RENEW:
            self._renew()
        return False

    def _attached(self) -> tasks.Socket:
        """The socket, or another one at the same place."""
        with self._lock:
            if self._socket is None:
                if not self._holds:
                    self._held.enter_context(self._way.keeper.hold())
                    self._holds = True
                self._socket = self._attach()
            return self._socket

    def _attach(self) -> tasks.Socket:
        attempt, until = 0, time.monotonic() + self._patience
        while True:
            if self._closed:
                raise ConflictError("this terminal was closed", reason="CLOSED")
            session = self._way.keeper.fresh()
            self._place.reopen()
            error: ClarateachError
            try:
                url = (self._way.ways(session)).terminal
                _, ca = self._way.trust(session)
                tls = None
                if url.startswith("wss:"):
                    tls = _trust.pinned(ca) if ca is not None else _trust.control_plane(None)
                return tasks.open_socket(
                    f"{url}?{self._place.query()}", tls, SUBPROTOCOL, session.token.bearer, OPEN
                )
            except InvalidStatus as cause:
                answer = cause.response
                error = _refusals.of_answer(answer.status_code, answer.body or b"")
                error.__cause__ = cause
                if answer.status_code != 401 and not isinstance(error, UnavailableError):
                    raise error from cause
            except (OSError, InvalidHandshake, WebSocketException, TimeoutError, EOFError) as cause:
                error = _refusals.of_transport(cause, f"terminal {self.name}")
                error.__cause__ = cause
                if isinstance(error, CertificateError):
                    raise error from cause
            except UnavailableError as cause:
                error = cause
            wait = pause(attempt, error.retry_after)
            if time.monotonic() + wait >= until or (attempt and isinstance(error, AuthError)):
                raise self._lost(error) from error
            attempt += 1
            tasks.sleep(wait)
            self._renew()

    def _lost(self, error: ClarateachError) -> ClarateachError:
        if not isinstance(error, UnavailableError) or error.reason == "SEAT_NOT_READY":
            return error
        return ConnectionLostError(
            f"terminal {self.name} could not be opened again within {self._patience:g} s; its "
            f"shell goes on: {error.message}",
            reason=error.reason,
        )

    def _renew(self) -> None:
        """The seat may have moved, or the token be void.

        Raises when it is the learner's no more.
        """
        with suppress(UnavailableError):
            self._way.keeper.renew(self._way.keeper.session)

    def close(self) -> None:
        """Lets go; the shell goes on."""
        self._closed = True
        socket, self._socket = self._socket, None
        if socket is not None:
            with suppress(OSError, WebSocketException):
                socket.close()
        self._held.close()

    def __enter__(self) -> Terminal:
        try:
            self._attached()
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
