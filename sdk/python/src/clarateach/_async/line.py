"""The line to a terminal: one socket after the other, at one place in its output.

Way: attach -> a socket -> it breaks -> what its end means -> another one where the
first broke, for as long as there is patience.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    WebSocketException,
)

from .. import _refusals, _trust
from .. import _tasks_async as tasks
from .._models.progress import TerminalEvent
from .._retry import pause
from .._session import Session
from .._terminal_wire import SUBPROTOCOL, Next, Place, after_close
from ..errors import (
    AuthError,
    ClarateachError,
    ConflictError,
    ConnectionLostError,
    DeadlineError,
    NotFoundError,
    UnavailableError,
)
from .way import AsyncWay

OPEN = 10.0
"""Seconds for one attempt to attach."""
BROKEN = (ConnectionClosed, OSError)
"""What a socket raises when it is no more."""


class AsyncLine:
    """The present socket of one terminal."""

    def __init__(
        self,
        way: AsyncWay,
        place: Place,
        on_event: Callable[[TerminalEvent], None] | None,
        patience: float,
    ) -> None:
        self.place = place
        self.closed = False
        """Whether it was let go."""
        self._way = way
        self._on_event = on_event
        self._patience = patience
        self._socket: tasks.Socket | None = None
        self._lock = tasks.Lock()
        self._held = AsyncExitStack()
        self._holds = False

    @property
    def over(self) -> bool:
        """Whether the shell has ended and all it said was read."""
        return self.place.exit_code is not None and self._socket is None

    def tell(self, event: TerminalEvent | None) -> None:
        """To whoever wants to know."""
        if event is not None and self._on_event is not None:
            self._on_event(event)

    async def socket(self) -> tasks.Socket:
        """The present one, or another at the same place."""
        async with self._lock:
            if self._socket is None:
                if not self._holds:
                    await self._held.enter_async_context(self._way.keeper.hold())
                    self._holds = True
                self._socket = await self._attach()
            return self._socket

    async def ended(self, socket: tasks.Socket, cause: Exception) -> bool:
        """A socket broke. True when that was the end; False when there will be another.

        Raises what only people can mend.
        """
        code = cause.rcvd.code if isinstance(cause, ConnectionClosed) and cause.rcvd else 1006
        follows = after_close(code) if not self.closed else Next.END
        async with self._lock:
            if self._socket is not socket:
                return self.closed  # somebody else has seen to it
            self._socket = None
            if follows is Next.END:
                self.place.exit_code = self.place.exit_code or 0
                return True
        with suppress(OSError, WebSocketException):
            await socket.close()
        self.tell(TerminalEvent("reconnecting", {"code": code}))
        if follows is Next.RENEW:
            await self._renew()
        return False

    async def _attach(self) -> tasks.Socket:
        attempt, until = 0, time.monotonic() + self._patience
        while True:
            if self.closed:
                raise ConflictError("this terminal was closed", reason="CLOSED")
            self.place.reopen()
            try:
                return await self._open(await self._way.keeper.fresh())
            except (UnavailableError, AuthError) as cause:
                error: ClarateachError = cause
            except NotFoundError as cause:
                # A worker that was made anew hears of its seats a moment later.
                if cause.reason != "SEAT_UNKNOWN":
                    raise
                error = cause
            wait = pause(attempt, error.retry_after)
            if time.monotonic() + wait >= until or (attempt and isinstance(error, AuthError)):
                raise self._lost(error) from error
            attempt += 1
            await tasks.sleep(wait)
            await self._renew()

    async def _open(self, session: Session) -> tasks.Socket:
        """One attempt. Raises errors of ours alone."""
        url = (await self._way.ways(session)).terminal
        _, ca = self._way.trust(session)
        tls = None
        if url.startswith("wss:"):
            tls = _trust.pinned(ca) if ca is not None else _trust.control_plane(None)
        try:
            return await tasks.open_socket(
                f"{url}?{self.place.query()}", tls, SUBPROTOCOL, session.token.bearer, OPEN
            )
        except InvalidStatus as cause:
            answer = cause.response
            raise _refusals.of_answer(answer.status_code, answer.body or b"") from cause
        except (OSError, InvalidHandshake, WebSocketException, EOFError) as cause:
            raise _refusals.of_transport(cause, f"terminal {self.place.terminal}") from cause

    def _lost(self, error: ClarateachError) -> ClarateachError:
        if not isinstance(error, UnavailableError) or error.reason == "SEAT_NOT_READY":
            return error
        return ConnectionLostError(
            f"terminal {self.place.terminal} could not be opened again within "
            f"{self._patience:g} s; its shell goes on: {error.message}",
            reason=error.reason,
        )

    async def _renew(self) -> None:
        """The seat may have moved, or the token be void.

        Raises when it is the learner's no more.
        """
        with suppress(UnavailableError, DeadlineError):
            await self._way.keeper.renew(self._way.keeper.session)

    async def aclose(self) -> None:
        """Lets go; the shell goes on."""
        self.closed = True
        socket, self._socket = self._socket, None
        if socket is not None:
            with suppress(OSError, WebSocketException):
                await socket.close()
        await self._held.aclose()
