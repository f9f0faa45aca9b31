"""What a learner holds of a seat: the token, where things are, whom to trust."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from ._generated import workshop_pb2 as pb
from ._secret import Secret, life

Grant = (
    pb.JoinWorkshopResponse
    | pb.RefreshTokenResponse
    | pb.ObserveSeatResponse
    | pb.CollectSeatResponse
)


@dataclass(frozen=True)
class Ways:
    """URLs of one seat's services; empty until its machine is there."""

    terminal: str = ""
    files: str = ""
    exec: str = ""

    @classmethod
    def of(cls, said: pb.Endpoints) -> Ways:
        """As the schema has them."""
        return cls(said.terminal, said.files, said.exec)

    @property
    def renew(self) -> str:
        """Where a newer token is shown, so that open sockets live on."""
        # An observer has a terminal alone.
        return "http" + self.terminal.removeprefix("ws").removesuffix("terminal") + "renew"


@dataclass(frozen=True)
class Session:
    """A seat's token with all that came with it. Never changed: replaced whole."""

    token: Secret
    direct: Ways
    gateway: Ways
    ca: str = field(repr=False)
    renew_at: float
    """By `time.monotonic()`: at two thirds of the token's life."""

    @classmethod
    def joined(cls, said: Grant) -> Session:
        """From a join, or from whatever else gives a seat token."""
        token = Secret(said.token)
        return cls(
            token=token,
            direct=Ways.of(said.endpoints),
            gateway=Ways.of(said.gateway),
            ca=said.ca_certificate,
            renew_at=time.monotonic() + life(token) * 2 / 3,
        )

    def moved(self, said: pb.WatchSeatResponse) -> Session:
        """The same token, with where things are now."""
        return replace(self, direct=Ways.of(said.endpoints), gateway=Ways.of(said.gateway))

    @property
    def due(self) -> bool:
        """Whether the token should be renewed."""
        return time.monotonic() >= self.renew_at
