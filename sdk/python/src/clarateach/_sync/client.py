# Made by generate.sh from _async/client.py: edit that one.
"""The way in: one control plane, for instructors and learners."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from types import TracebackType
from weakref import WeakSet

from .. import _trust, _wire
from .._address import Address
from .._generated import workshop_pb2 as pb
from .._retry import Seconds, seconds
from .._secret import Secret
from ..errors import InvalidError
from .rpc import Rpc
from .seat import Seat
from .stay import Stay
from .tokens import Tokens
from .way import Route, check_route
from .workshops import Workshops


class Client:
    """One control plane.

    `url` is `https://HOST[:PORT]`, or `http://` to this machine only. Instructors
    give an API `token`, or the `token_file` it is in; learners need neither. `ca` is
    the PEM file of a private CA that signed the control plane's certificate; those of
    workers are checked against their workshop's own CA in any case.  `timeout` bounds
    every single call, in seconds or as a timedelta.

    Raises `InvalidError` (`BAD_URL`, `PLAIN_HTTP`, `BAD_TOKEN`) and `LocalFileError`.

    >>> with Client(url, token_file=token_file) as instructor:
    ...     everything = [workshop.name for workshop in instructor.workshops.list()]
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        token_file: str | Path | None = None,
        ca: str | Path | None = None,
        timeout: Seconds = 30.0,
    ) -> None:
        if token is not None and token_file is not None:
            raise InvalidError("give a token or a token_file, not both", reason="BAD_TOKEN")
        secret = Secret.token(token) if token is not None else None
        if token_file is not None:
            secret = Secret.read(token_file)
        if seconds(timeout) <= 0:
            raise InvalidError("timeout must be more than nothing", reason="INVALID")
        pem = _trust.read_pem(ca) if ca is not None else None
        self._rpc = Rpc(Address.parse(url), pem, secret, seconds(timeout))
        self._seats: WeakSet[Seat] = WeakSet()
        self.workshops = Workshops(self._rpc)
        """Workshops of the token's owner; an admin's are everybody's."""
        self.tokens = Tokens(self._rpc)
        """API tokens."""

    @property
    def url(self) -> str:
        """Where the control plane is."""
        return self._rpc.address.url

    @classmethod
    def from_environment(cls) -> Client:
        """By the command line's `CLARATEACH_URL`, `CLARATEACH_TOKEN_FILE` and `CLARATEACH_CA_FILE`.

        Raises `InvalidError` when the first is not set.
        """
        url = os.environ.get("CLARATEACH_URL")
        if not url:
            raise InvalidError("CLARATEACH_URL is not set: say where the server is", reason="URL")
        return cls(
            url,
            token_file=os.environ.get("CLARATEACH_TOKEN_FILE") or None,
            ca=os.environ.get("CLARATEACH_CA_FILE") or None,
        )

    def join(
        self,
        code: str,
        name: str = "",
        *,
        reconnect_code: str | None = None,
        route: Route = "auto",
    ) -> Seat:
        """Takes a free seat, or with a `reconnect_code` the learner's own again.

        `name` is what the learner is called, up to 64 characters. The `route` is
        straight to the worker, through the control plane, or (`auto`) the first that
        opens. A seat of a workshop that is not running yet waits: see
        `Seat.wait_ready`.

        Raises `NotFoundError` (`CODE_UNKNOWN`, `RECONNECT_UNKNOWN`), `ExhaustedError`
        (`SEATS_EXHAUSTED`) and `ConflictError` (`NOT_RUNNING`, `WORKSHOP_OVER`).

        >>> seat = client.join(workshop.code, name="learner two")
        >>> seat.number >= 1
        True
        """
        check_route(route)
        with _wire.checked():
            request = pb.JoinWorkshopRequest(
                code=code,
                display_name=name,
                reconnect_code=reconnect_code or "",
                request_id=secrets.token_hex(16),
            )
        said = self._rpc.call(self._rpc.seats.JoinWorkshop, request, needs_token=False)
        # Shown once: taking the same seat again need not repeat it.
        own = Secret(said.reconnect_code or reconnect_code or "")
        seat = Seat(self._rpc, Stay(self._rpc, Secret(code), own, name), said, route)
        self._seats.add(seat)
        return seat

    def close(self) -> None:
        """Ends connections, those to seats too. Workshops, seats and shells stay as they are."""
        for seat in list(self._seats):
            seat.close()
        self._rpc.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._rpc.address.target!r})"
