"""Waiting and working side by side, by asyncio. `_tasks_sync.py` has the same
names for threads: all that the two layers do differently is in these two.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import ParamSpec, TypeVar

import grpc
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from ._socket import SETTINGS

P = ParamSpec("P")
T = TypeVar("T")

Lock = asyncio.Lock
Socket = ClientConnection
Channel = grpc.aio.Channel
Unary = grpc.aio.UnaryUnaryMultiCallable
Stream = grpc.aio.UnaryStreamMultiCallable
sleep = asyncio.sleep
in_thread = asyncio.to_thread


def channel(
    target: str, credentials: grpc.ChannelCredentials | None, options: Sequence[tuple[str, object]]
) -> Channel:
    """To the control plane; without credentials only on this machine."""
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=options)
    return grpc.aio.secure_channel(target, credentials, options=options)


async def can_connect(host: str, port: int, timeout: float) -> bool:
    """Whether a connection opens within `timeout` seconds."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), timeout)
    except (OSError, asyncio.TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


async def open_socket(
    url: str, tls: ssl.SSLContext | None, protocol: str, bearer: str, timeout: float
) -> Socket:
    """A WebSocket. Raises what websockets raises."""
    return await connect(
        url,
        ssl=tls,
        subprotocols=[Subprotocol(protocol)],
        additional_headers={"authorization": bearer},
        open_timeout=timeout,
        **SETTINGS,
    )


async def receive(socket: Socket, timeout: float | None) -> str | bytes:
    """The next frame. Raises TimeoutError, and what websockets raises."""
    if timeout is None:
        return await socket.recv()
    try:
        return await asyncio.wait_for(socket.recv(), timeout)
    except asyncio.TimeoutError as cause:  # another class than TimeoutError before 3.11
        raise TimeoutError from cause


class Ticker:
    """Does something again and again beside everything else, until stopped."""

    def __init__(self, act: Callable[[], Awaitable[float]]) -> None:
        """`act` says after how many seconds it is due again."""
        self._act = act
        self._task: asyncio.Task[None] | None = None

    def start(self, first: float) -> None:
        """Due in `first` seconds."""
        self._task = asyncio.get_running_loop().create_task(self._run(first))

    async def _run(self, due: float) -> None:
        while True:
            await asyncio.sleep(due)
            due = await self._act()

    def stop(self) -> None:
        """At once; what it is doing is not finished."""
        if self._task is not None:
            self._task.cancel()
            self._task = None


def close_when_forgotten(owner: object, closes: Callable[[], Awaitable[None]]) -> None:
    """Nothing can be awaited then: asyncio has its own warning for what is not closed."""


def goes_on() -> None:
    """Asked by long work between two pieces: raises when it should stop."""


async def each(work: Callable[[T], Awaitable[None]], items: Iterable[T], at_once: int) -> None:
    """`work` for every item, `at_once` of them at a time.

    The first failure ends the others, and is raised when all have ended.
    """
    left = iter(items)

    async def worker() -> None:
        for item in left:
            await work(item)

    tasks = [asyncio.ensure_future(worker()) for _ in range(at_once)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def pieces(read: Callable[[], bytes]) -> AsyncIterator[bytes]:
    """What `read` gives until it gives nothing."""
    while piece := await in_thread(read):
        yield piece
