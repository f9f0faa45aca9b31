"""Waiting and working side by side, by threads: the twin of `_tasks_async.py`."""

from __future__ import annotations

import contextvars
import socket as sockets
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, CancelledError, ThreadPoolExecutor, wait
from typing import ParamSpec, TypeVar

import grpc
from websockets.sync.client import connect
from websockets.sync.connection import Connection
from websockets.typing import Subprotocol

from ._socket import SETTINGS

P = ParamSpec("P")
T = TypeVar("T")

Lock = threading.Lock
Socket = Connection
Channel = grpc.Channel
Unary = grpc.UnaryUnaryMultiCallable
Stream = grpc.UnaryStreamMultiCallable
sleep = time.sleep

_stopped: contextvars.ContextVar[threading.Event] = contextvars.ContextVar("stopped")


def in_thread(act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Blocks no loop here, so it is done at once."""
    return act(*args, **kwargs)


def channel(
    target: str, credentials: grpc.ChannelCredentials | None, options: Sequence[tuple[str, object]]
) -> Channel:
    """To the control plane; without credentials only on this machine."""
    if credentials is None:
        return grpc.insecure_channel(target, options=options)
    return grpc.secure_channel(target, credentials, options=options)


def can_connect(host: str, port: int, timeout: float) -> bool:
    """Whether a connection opens within `timeout` seconds."""
    try:
        sockets.create_connection((host, port), timeout).close()
    except OSError:
        return False
    return True


def open_socket(
    url: str, tls: ssl.SSLContext | None, protocol: str, bearer: str, timeout: float
) -> Socket:
    """A WebSocket. Raises what websockets raises."""
    opened = connect(
        url,
        ssl=tls,
        subprotocols=[Subprotocol(protocol)],
        additional_headers={"authorization": bearer},
        open_timeout=timeout,
        **SETTINGS,
    )
    # From 17.1 on the library wants to be used by `with`, which this socket outlives.
    return opened.__enter__()


def receive(socket: Socket, timeout: float | None) -> str | bytes:
    """The next frame. Raises TimeoutError, and what websockets raises."""
    return socket.recv(timeout)


class Ticker:
    """Does something again and again beside everything else, until stopped."""

    def __init__(self, act: Callable[[], float]) -> None:
        """`act` says after how many seconds it is due again."""
        self._act = act
        self._stop: threading.Event | None = None

    def start(self, first: float) -> None:
        """Due in `first` seconds."""
        self._stop = threading.Event()
        args = (self._stop, first)
        threading.Thread(
            target=self._run, args=args, name="clarateach-renewal", daemon=True
        ).start()

    def _run(self, stop: threading.Event, due: float) -> None:
        while not stop.wait(due):
            due = self._act()

    def stop(self) -> None:
        """At once; what it is doing is finished beside."""
        if self._stop is not None:
            self._stop.set()
            self._stop = None


def close_when_forgotten(owner: object, closes: Callable[[], None]) -> None:
    """For programs that close nothing: when `owner` is gone, or the program ends."""
    weakref.finalize(owner, closes)


def goes_on() -> None:
    """Asked by long work between two pieces: raises when it should stop."""
    stopped = _stopped.get(None)
    if stopped is not None and stopped.is_set():
        raise CancelledError


def each(work: Callable[[T], None], items: Iterable[T], at_once: int) -> None:
    """`work` for every item, `at_once` of them at a time.

    The first failure, or Ctrl-C, ends the others; it is raised when all have ended.
    """
    left, turn, stopped = iter(items), threading.Lock(), threading.Event()
    # Nobody begins before all are there: a Ctrl-C while a thread is being started leaves
    # one behind that nobody waits for, and that must not have begun anything.
    begin = threading.Event()

    def worker() -> None:
        begin.wait()
        _stopped.set(stopped)
        while not stopped.is_set():
            with turn:
                item = next(left, None)
            if item is None:
                return
            work(item)

    with ThreadPoolExecutor(at_once, thread_name_prefix="clarateach") as pool:
        try:
            workers = [pool.submit(worker) for _ in range(at_once)]
            begin.set()
            done, _ = wait(workers, return_when=FIRST_EXCEPTION)
        finally:
            stopped.set()
            begin.set()
    for one in done:
        one.result()


def pieces(read: Callable[[], bytes]) -> Iterator[bytes]:
    """What `read` gives until it gives nothing."""
    while piece := read():
        goes_on()
        yield piece
