"""What a workshop's object shows of the workshop, in both layers."""

from __future__ import annotations

from datetime import datetime

from ._models.words import Runtime, WorkshopStatus
from ._models.workshop import SeatInfo, WorkerInfo, WorkshopInfo


class WorkshopFields:
    """The fields one asks for most; `info` has them all."""

    info: WorkshopInfo
    """As it was when last heard of."""

    @property
    def id(self) -> str:
        """`ws-` and ten characters."""
        return self.info.id

    @property
    def name(self) -> str:
        """What people call it."""
        return self.info.name

    @property
    def code(self) -> str:
        """The join code, for learners."""
        return self.info.code

    @property
    def status(self) -> WorkshopStatus:
        """Where it is in its life."""
        return self.info.status

    @property
    def reason(self) -> str:
        """Why it is there and what happens next, for people."""
        return self.info.reason

    @property
    def seats(self) -> int:
        """How many seats are wanted."""
        return self.info.seats

    @property
    def runtime(self) -> Runtime:
        """What gives a seat its machine."""
        return self.info.runtime

    @property
    def expires_at(self) -> datetime | None:
        """When it deletes itself, in UTC."""
        return self.info.expires_at

    @property
    def workers(self) -> tuple[WorkerInfo, ...]:
        """Its workers."""
        return self.info.workers

    @property
    def seat_list(self) -> tuple[SeatInfo, ...]:
        """Its seats, by number; empty when it comes from a list."""
        return self.info.seat_list

    def __repr__(self) -> str:
        info = self.info
        kind = type(self).__name__
        return f"<{kind} {info.id} {info.name!r} {info.status.value}, {info.seats} seats>"
