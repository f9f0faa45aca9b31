# Made by generate.sh from _async/visit.py: edit that one.
"""What an instructor does in a learner's seat: looks on, helps, keeps the work."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from .. import _wire
from .._generated import workshop_pb2 as pb
from .._models.progress import TerminalEvent
from .._models.words import ObserveMode
from .._retry import Seconds, seconds
from .._session import Session
from .files import Files
from .keeper import Keeper
from .rpc import Rpc
from .terminal import Terminal
from .way import Way


class _AsyncVisit:
    """A way to another's seat, which renews itself until it is closed."""

    def __init__(self, way: Way, seat: int) -> None:
        self._way = way
        self.seat = seat
        """The number of the seat."""

    def close(self) -> None:
        """Lets go of the right to be there."""
        self._way.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of seat {self.seat}>"


class Observer(_AsyncVisit):
    """An instructor's view of one learner's terminals."""

    def __init__(self, way: Way, seat: int, mode: ObserveMode) -> None:
        super().__init__(way, seat)
        self.mode = mode
        """Whether keys may be sent, once the learner consents."""

    @classmethod
    def _open(
        cls, rpc: Rpc, workshop_id: str, seat: int, mode: ObserveMode | str, route: str
    ) -> Observer:
        """Used by `Workshop.observe_seat`."""
        asked = _wire.observe_mode(mode)
        with _wire.checked():
            request = pb.ObserveSeatRequest(workshop_id=workshop_id, seat=seat, mode=asked)

        def issue(_: Session | None = None) -> Session:
            said = rpc.call(rpc.workshops.ObserveSeat, request)
            return Session.joined(said)

        keeper = Keeper(issue(), issue)
        return cls(Way(rpc, keeper, route), seat, ObserveMode(mode))

    def terminal(
        self,
        name: str = "main",
        *,
        cols: int = 80,
        rows: int = 24,
        on_event: Callable[[TerminalEvent], None] | None = None,
        patience: Seconds = 300,
    ) -> Terminal:
        """One of the learner's terminals, opened by `with` or by its first use.

        Raises `NotFoundError` (`NO_SUCH_TERMINAL`) there when the learner has none of
        this name. The learner sees who is there; keys of one who helps are typed once
        the learner consents.
        """
        return Terminal(
            self._way,
            name,
            cols=cols,
            rows=rows,
            offset=None,
            instance=None,
            on_event=on_event,
            patience=seconds(patience),
        )

    def __enter__(self) -> Observer:
        return self


class SeatWork(_AsyncVisit):
    """What a learner has made: `files` that can be read and not changed."""

    def __init__(self, way: Way, seat: int) -> None:
        super().__init__(way, seat)
        self.files = Files(way)
        """The files of its workspace; a change raises `AuthError` (`READ_ONLY`)."""

    @classmethod
    def _open(cls, rpc: Rpc, workshop_id: str, seat: int, route: str) -> SeatWork:
        """Used by `Workshop.collect_seat`."""
        with _wire.checked():
            request = pb.CollectSeatRequest(workshop_id=workshop_id, seat=seat)

        def issue(_: Session | None = None) -> Session:
            said = rpc.call(rpc.workshops.CollectSeat, request)
            return Session.joined(said)

        return cls(Way(rpc, Keeper(issue(), issue), route), seat)

    def __enter__(self) -> SeatWork:
        return self
