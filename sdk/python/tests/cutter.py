"""A TCP proxy that cuts connections, and may be away for a while."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from urllib.parse import urlsplit


class Cutter:
    """Relays to one server until told otherwise; what is `idle` for so many seconds it cuts."""

    def __init__(self, url: str, idle: float | None = None) -> None:
        self._idle = idle
        parts = urlsplit(url)
        self._server = (parts.hostname or "", parts.port or 80)
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self.connections = 0
        self.cuts = 0
        """Connections cut because they were idle."""
        self._listener = self._listen(0)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._server)
            with self._lock:
                self._open += [near, far]
                self.connections += 1
            moved = [time.monotonic()]
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._relay, args=(*pair, moved), daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket, moved: list[float]) -> None:
        source.settimeout(self._idle)
        with suppress(OSError):
            while True:
                try:
                    piece = source.recv(1 << 16)
                except TimeoutError:
                    # The other way may be busy.
                    if self._idle and time.monotonic() - moved[0] < self._idle:
                        continue
                    self.cuts += 1
                    break
                if not piece:
                    break
                moved[0] = time.monotonic()
                target.sendall(piece)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Ends every connection; new ones are welcome."""
        with self._lock:
            ended, self._open = self._open, []
        for end in ended:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def go_away(self) -> None:
        """Ends every connection and takes no new ones."""
        # A thread that waits in accept would keep the port open.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def come_back(self) -> None:
        """On the same port."""
        self._listener = self._listen(self.port)

    def __enter__(self) -> Cutter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.go_away()
