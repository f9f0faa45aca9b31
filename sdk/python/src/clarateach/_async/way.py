"""HTTP to one seat: straight to its worker, or through the control plane."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Literal
from urllib.parse import urlsplit

import httpx

from .. import _refusals, _trust
from .. import _tasks_async as tasks
from .._about import USER_AGENT
from .._retry import TRIES, pause
from .._session import Session, Ways
from ..errors import (
    AuthError,
    CertificateError,
    ClarateachError,
    InvalidError,
    UnavailableError,
)
from .keeper import AsyncKeeper
from .rpc import AsyncRpc

NEAR = 3.0
"""A worker that takes longer than so many seconds to answer is not near."""
LIMITS = httpx.Limits(max_connections=32, max_keepalive_connections=16, keepalive_expiry=20)
TIMEOUT = httpx.Timeout(60, connect=10)
"""Seconds of silence; nothing limits how long a transfer takes."""
PATIENT = httpx.Timeout(60, connect=10, read=None)
"""For a command that may say nothing for hours: keepalive tells whether it lives."""
KEEPALIVE = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)] + [
    (socket.IPPROTO_TCP, getattr(socket, name), value)
    for name, value in (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
]

Body = Callable[[], AsyncIterator[bytes]]
Verb = Literal["terminal", "files", "exec", "renew"]
Route = Literal["auto", "direct", "gateway"]


def check_route(route: str) -> None:
    """Raises `InvalidError`."""
    if route not in ("auto", "direct", "gateway"):
        raise InvalidError("route must be auto, direct or gateway", reason="INVALID")


class AsyncWay:
    """How requests reach one seat, with its token, CA and errors."""

    def __init__(self, rpc: AsyncRpc, keeper: AsyncKeeper, route: str) -> None:
        self._rpc = rpc
        self.keeper = keeper
        self._route = route
        self._client: httpx.AsyncClient | None = None
        self._trusts: str | None = None
        self._old: list[httpx.AsyncClient] = []
        self._lock = tasks.Lock()
        keeper.tell_worker = self._show_token

    async def ways(self, session: Session) -> Ways:
        """Where the seat's services are, by the route that opens.

        Raises `UnavailableError` (`SEAT_NOT_READY`).
        """
        if not (session.direct.terminal or session.gateway.terminal):
            raise UnavailableError(
                "the seat has no machine yet: seat.wait_ready() waits for it",
                reason="SEAT_NOT_READY",
            )
        if self._route == "auto" and session.direct.terminal:
            parts = urlsplit(session.direct.terminal)
            near = await tasks.can_connect(parts.hostname or "", parts.port or 443, NEAR)
            if near or session.gateway.terminal:
                self._route = "direct" if near else "gateway"
        return session.gateway if self._route == "gateway" else session.direct

    def trust(self, session: Session) -> tuple[str, str | None]:
        """Whom to believe on the way: a name for it, and the CA; None for this machine's own."""
        if self._route == "gateway":
            return "gateway", self._rpc.ca
        return session.ca, session.ca

    async def client(self, session: Session) -> httpx.AsyncClient:
        """With the right trust; another one when that changes."""
        name, ca = self.trust(session)
        async with self._lock:
            if self._client is None or self._trusts != name:
                if self._client is not None:
                    self._old.append(self._client)  # what is open on it goes on
                context = _trust.pinned(ca) if ca is not None else _trust.control_plane(None)
                transport = httpx.AsyncHTTPTransport(
                    verify=context, trust_env=False, limits=LIMITS, socket_options=KEEPALIVE
                )
                self._client = httpx.AsyncClient(
                    transport=transport,
                    trust_env=False,
                    timeout=TIMEOUT,
                    headers={"user-agent": USER_AGENT, "accept-encoding": "identity"},
                )
                tasks.close_when_forgotten(self, self._client.aclose)
                self._trusts = name
            return self._client

    @asynccontextmanager
    async def open(
        self,
        method: str,
        verb: Verb,
        path: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | Body | None = None,
        repeatable: bool = True,
        silent: bool = False,
        file: bool = False,
    ) -> AsyncIterator[httpx.Response]:
        """An answer whose body is still to be read.

        A `content` that is called is called once a try. What is not `repeatable` is
        repeated only if no byte of it can have arrived; what may be `silent` has no limit
        on that. Raises errors of ours alone.
        """
        timeout = PATIENT if silent else TIMEOUT
        response = await self._tried(method, verb, path, headers, content, repeatable, timeout)
        try:
            if response.is_error:
                raise _refusals.of_answer(response.status_code, await response.aread(), file=file)
            yield response
        except httpx.TransportError as cause:
            raise _refusals.of_transport(cause, str(response.url.netloc, "ascii")) from cause
        finally:
            await response.aclose()

    async def send(
        self,
        method: str,
        verb: Verb,
        path: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | Body | None = None,
        repeatable: bool = True,
        file: bool = False,
    ) -> httpx.Response:
        """An answer, read whole. As `open`."""
        async with self.open(
            method, verb, path, headers=headers, content=content, repeatable=repeatable, file=file
        ) as response:
            await response.aread()
            return response

    async def _tried(
        self,
        method: str,
        verb: Verb,
        path: str,
        headers: Mapping[str, str] | None,
        content: bytes | Body | None,
        repeatable: bool,
        timeout: httpx.Timeout,
    ) -> httpx.Response:
        attempt, renewed = 0, False
        while True:
            session = await self.keeper.fresh()
            url = getattr(await self.ways(session), verb)
            client = await self.client(session)
            request = client.build_request(
                method,
                f"{url}/{path}" if path else url,
                headers={**(headers or {}), "authorization": session.token.bearer},
                content=content() if callable(content) else content,
                timeout=timeout,
            )
            error: ClarateachError
            try:
                response = await client.send(request, stream=True)
                body = await response.aread() if response.status_code == 503 else b""
            except httpx.TransportError as cause:
                error = _refusals.of_transport(cause, str(request.url.netloc, "ascii"))
                error.__cause__ = cause
                again = repeatable or isinstance(cause, (httpx.ConnectError, httpx.ConnectTimeout))
                if isinstance(error, CertificateError) or not again:
                    raise error from cause
            else:
                if response.status_code == 401 and not renewed:
                    await response.aclose()
                    await self.keeper.renew(session)
                    renewed = True
                    continue
                if response.status_code != 503:
                    return response
                error = _refusals.of_answer(503, body)
                await response.aclose()
            attempt += 1
            if attempt >= TRIES:
                raise error
            await tasks.sleep(pause(attempt - 1, error.retry_after))
            await self._look_again(session)

    async def _look_again(self, session: Session) -> None:
        """The seat may have moved: where is it now?"""
        # Else the old place is tried again, and says what it has to say.
        with suppress(AuthError, UnavailableError):
            await self.keeper.renew(session)

    async def _show_token(self) -> None:
        await self.send("POST", "renew")

    async def aclose(self) -> None:
        """Ends the connections to the seat."""
        self.keeper.stop()
        clients = [*self._old, *([self._client] if self._client is not None else [])]
        self._client, self._old = None, []
        for client in clients:
            await client.aclose()
