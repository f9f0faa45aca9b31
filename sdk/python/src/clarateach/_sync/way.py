# Made by generate.sh from _async/way.py: edit that one.
"""HTTP to one seat: straight to its worker, or through the control plane."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Literal
from urllib.parse import urlsplit

import httpx

from .. import _refusals, _trust
from .. import _tasks_sync as tasks
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
from .keeper import Keeper
from .rpc import Rpc

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

Body = Callable[[], Iterator[bytes]]
Verb = Literal["terminal", "files", "exec", "renew"]
Route = Literal["auto", "direct", "gateway"]


def check_route(route: str) -> None:
    """Raises `InvalidError`."""
    if route not in ("auto", "direct", "gateway"):
        raise InvalidError("route must be auto, direct or gateway", reason="INVALID")


class Way:
    """How requests reach one seat, with its token, CA and errors."""

    def __init__(self, rpc: Rpc, keeper: Keeper, route: str) -> None:
        self._rpc = rpc
        self.keeper = keeper
        self._route = route
        self._client: httpx.Client | None = None
        self._trusts: str | None = None
        self._old: list[httpx.Client] = []
        self._lock = tasks.Lock()
        keeper.tell_worker = self._show_token

    def ways(self, session: Session) -> Ways:
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
            near = tasks.can_connect(parts.hostname or "", parts.port or 443, NEAR)
            if near or session.gateway.terminal:
                self._route = "direct" if near else "gateway"
        return session.gateway if self._route == "gateway" else session.direct

    def trust(self, session: Session) -> tuple[str, str | None]:
        """Whom to believe on the way: a name for it, and the CA; None for this machine's own."""
        if self._route == "gateway":
            return "gateway", self._rpc.ca
        return session.ca, session.ca

    def client(self, session: Session) -> httpx.Client:
        """With the right trust; another one when that changes."""
        name, ca = self.trust(session)
        with self._lock:
            if self._client is None or self._trusts != name:
                if self._client is not None:
                    self._old.append(self._client)  # what is open on it goes on
                context = _trust.pinned(ca) if ca is not None else _trust.control_plane(None)
                transport = httpx.HTTPTransport(
                    verify=context, trust_env=False, limits=LIMITS, socket_options=KEEPALIVE
                )
                self._client = httpx.Client(
                    transport=transport,
                    trust_env=False,
                    timeout=TIMEOUT,
                    headers={"user-agent": USER_AGENT, "accept-encoding": "identity"},
                )
                tasks.close_when_forgotten(self, self._client.close)
                self._trusts = name
            return self._client

    @contextmanager
    def open(
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
    ) -> Iterator[httpx.Response]:
        """An answer whose body is still to be read.

        A `content` that is called is called once a try. What is not `repeatable` is
        repeated only if no byte of it can have arrived; what may be `silent` has no limit
        on that. Raises errors of ours alone.
        """
        timeout = PATIENT if silent else TIMEOUT
        response = self._tried(method, verb, path, headers, content, repeatable, timeout)
        try:
            if response.is_error:
                raise _refusals.of_answer(response.status_code, response.read(), file=file)
            yield response
        except httpx.TransportError as cause:
            raise _refusals.of_transport(cause, str(response.url.netloc, "ascii")) from cause
        finally:
            response.close()

    def send(
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
        with self.open(
            method, verb, path, headers=headers, content=content, repeatable=repeatable, file=file
        ) as response:
            response.read()
            return response

    def _tried(
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
            session = self.keeper.fresh()
            url = getattr(self.ways(session), verb)
            client = self.client(session)
            request = client.build_request(
                method,
                f"{url}/{path}" if path else url,
                headers={**(headers or {}), "authorization": session.token.bearer},
                content=content() if callable(content) else content,
                timeout=timeout,
            )
            error: ClarateachError
            try:
                response = client.send(request, stream=True)
                body = response.read() if response.status_code == 503 else b""
            except httpx.TransportError as cause:
                error = _refusals.of_transport(cause, str(request.url.netloc, "ascii"))
                error.__cause__ = cause
                again = repeatable or isinstance(cause, (httpx.ConnectError, httpx.ConnectTimeout))
                if isinstance(error, CertificateError) or not again:
                    raise error from cause
            else:
                if response.status_code == 401 and not renewed:
                    response.close()
                    self.keeper.renew(session)
                    renewed = True
                    continue
                if response.status_code != 503:
                    return response
                error = _refusals.of_answer(503, body)
                response.close()
            attempt += 1
            if attempt >= TRIES:
                raise error
            tasks.sleep(pause(attempt - 1, error.retry_after))
            self._look_again(session)

    def _look_again(self, session: Session) -> None:
        """The seat may have moved: where is it now?"""
        # Else the old place is tried again, and says what it has to say.
        with suppress(AuthError, UnavailableError):
            self.keeper.renew(session)

    def _show_token(self) -> None:
        self.send("POST", "renew")

    def close(self) -> None:
        """Ends the connections to the seat."""
        self.keeper.stop()
        clients = [*self._old, *([self._client] if self._client is not None else [])]
        self._client, self._old = None, []
        for client in clients:
            client.close()
