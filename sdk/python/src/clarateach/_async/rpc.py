"""Calls to the control plane: one channel, its deadline, its retries, its errors."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, TypeVar

import grpc

from .. import _refusals, _trust
from .. import _tasks_async as tasks
from .._about import USER_AGENT
from .._address import Address
from .._generated import workshop_pb2_grpc as stubs
from .._retry import TRIES, pause
from .._secret import Secret
from ..errors import AuthError, UnavailableError

if TYPE_CHECKING:
    from .._generated.workshop_pb2_grpc import (
        SeatServiceAsyncStub,
        TokenServiceAsyncStub,
        WorkshopServiceAsyncStub,
    )

Q = TypeVar("Q")
A = TypeVar("A")

OPTIONS: list[tuple[str, object]] = [
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_receive_message_length", 16 << 20),
    # Ours are the retries: these would hide how long a call took.
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.primary_user_agent", USER_AGENT),
]


class AsyncRpc:
    """One channel to one control plane, opened when it is first needed."""

    def __init__(
        self, address: Address, ca: str | None, token: Secret | None, timeout: float
    ) -> None:
        self.address = address
        self.ca = ca
        self._token = token
        self._timeout = timeout
        self._roots = _trust.roots(ca) if address.secure else None
        self._channel: tasks.Channel | None = None
        self._pid = os.getpid()

    def _open(self) -> AsyncRpc:
        """A forked process opens its own channel: gRPC's does not live there."""
        if self._channel is None or self._pid != os.getpid():
            secure, options = self.address.secure, list(OPTIONS)
            if not secure:
                options.append(("grpc.enable_http_proxy", 0))
            credentials = grpc.ssl_channel_credentials(self._roots) if secure else None
            self._channel = tasks.channel(self.address.target, credentials, options)
            self._pid = os.getpid()
            # One stub a channel: making it costs more than a call.
            self._workshops = stubs.WorkshopServiceStub(self._channel)
            self._tokens = stubs.TokenServiceStub(self._channel)
            self._seats = stubs.SeatServiceStub(self._channel)
        return self

    @property
    def workshops(self) -> WorkshopServiceAsyncStub:
        """Calls of instructors."""
        return self._open()._workshops

    @property
    def tokens(self) -> TokenServiceAsyncStub:
        """Calls about API tokens."""
        return self._open()._tokens

    @property
    def seats(self) -> SeatServiceAsyncStub:
        """Calls of learners."""
        return self._open()._seats

    def metadata(self, token: Secret | None, *, needed: bool = True) -> tuple[tuple[str, str], ...]:
        """Who calls: `token`, or the client's own. Raises `AuthError` when none is there."""
        token = token or self._token
        if token is None or not needed:
            if needed:
                raise AuthError(
                    "this call needs an API token: Client(url, token=…) or "
                    "Client(url, token_file=…)",
                    reason="TOKEN_MISSING",
                )
            return ()
        return (("authorization", token.bearer),)

    async def call(
        self,
        method: tasks.Unary[Q, A],
        request: Q,
        *,
        token: Secret | None = None,
        needs_token: bool = True,
        repeatable: bool = True,
    ) -> A:
        """One answer. `repeatable` is a read, or what has a request id.

        Raises errors of ours alone.
        """
        who = self.metadata(token, needed=needs_token)
        attempt = 0
        until = time.monotonic() + self._timeout
        while True:
            left = until - time.monotonic()
            try:
                return await method(request, timeout=max(left, 0.001), metadata=who)
            except grpc.RpcError as cause:
                error = _refusals.of_rpc(cause, self.address.target)
                error.request_id = getattr(request, "request_id", "") or None
                wait = pause(attempt, error.retry_after)
                attempt += 1
                again = repeatable and isinstance(error, UnavailableError) and attempt < TRIES
                if not again or time.monotonic() + wait >= until:
                    raise error from cause
            await tasks.sleep(wait)

    async def stream(
        self,
        method: tasks.Stream[Q, A],
        request: Q,
        *,
        token: Secret | None = None,
        limit: float | None = None,
    ) -> AsyncGenerator[A, None]:
        """Answers until the server ends them, or for `limit` seconds.

        Raises errors of ours alone.
        """
        call = method(request, timeout=limit, metadata=self.metadata(token))
        try:
            async for answer in call:
                yield answer
        except grpc.RpcError as cause:
            raise _refusals.of_rpc(cause, self.address.target) from cause
        finally:
            call.cancel()

    async def aclose(self) -> None:
        """Ends the channel and the calls on it."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()
