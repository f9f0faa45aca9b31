# Made by generate.sh from _async/workshop.py: edit that one.
"""One workshop, and what its instructor does with it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing

from .. import _tasks_sync as tasks
from .. import _wire
from .._fields import WorkshopFields
from .._generated import workshop_pb2 as pb
from .._models.progress import Progress
from .._models.words import ObserveMode, WorkshopStatus
from .._models.workshop import Egress, Preview, SeatInfo, WorkshopChange, WorkshopInfo
from .._retry import Seconds, pause, seconds
from ..errors import DeadlineError, UnavailableError, WorkshopFailedError
from .rpc import Rpc
from .visit import Observer, SeatWork
from .watching import watch_workshop
from .way import Route, check_route

_ENDS = (
    WorkshopStatus.FAILED,
    WorkshopStatus.DELETING,
    WorkshopStatus.DELETED,
    WorkshopStatus.STOPPING,
    WorkshopStatus.STOPPED,
)


class Workshop(WorkshopFields):
    """A workshop: `info`, and its fields as attributes, are as they were when last heard of."""

    def __init__(self, rpc: Rpc, info: WorkshopInfo) -> None:
        self._rpc = rpc
        self.info = info

    def _take(self, said: pb.Workshop) -> None:
        self.info = _wire.workshop(said)

    def refresh(self) -> Workshop:
        """Reads it again.

        >>> (workshop.refresh()).status.value
        'running'
        """
        request = pb.GetWorkshopRequest(id=self.id)
        self._take(self._rpc.call(self._rpc.workshops.GetWorkshop, request))
        return self

    def watch(self) -> Iterator[WorkshopChange]:
        """The full state first, then after every change, until it is deleted.

        A lost connection is taken up again by itself, for as long as it takes; only
        what waiting does not mend is raised.
        """
        with closing(watch_workshop(self._rpc, self.id, self.info)) as changes:
            for change in changes:
                self.info = change.workshop
                yield change

    def wait_running(
        self,
        on_progress: Callable[[Progress], None] | None = None,
        *,
        timeout: Seconds = 900,
    ) -> Workshop:
        """Until every seat answers.

        `on_progress` is told of every change. Ctrl-C leaves the workshop as it is.

        Raises `WorkshopFailedError` as soon as it will not come, and `DeadlineError`
        after `timeout`.

        >>> (workshop.wait_running()).status.value
        'running'
        """
        self._wait(WorkshopStatus.RUNNING, on_progress, seconds(timeout))
        return self

    def wait_deleted(
        self,
        on_progress: Callable[[Progress], None] | None = None,
        *,
        timeout: Seconds = 900,
    ) -> Workshop:
        """Until nothing of it runs or is billed. Raises `DeadlineError` after `timeout`."""
        self._wait(WorkshopStatus.DELETED, on_progress, seconds(timeout))
        return self

    def wait_stopped(
        self,
        on_progress: Callable[[Progress], None] | None = None,
        *,
        timeout: Seconds = 900,
    ) -> Workshop:
        """Until its machines are stopped. Raises as `wait_running`."""
        self._wait(WorkshopStatus.STOPPED, on_progress, seconds(timeout))
        return self

    def _wait(
        self,
        wanted: WorkshopStatus,
        on_progress: Callable[[Progress], None] | None,
        limit: float,
    ) -> None:
        began, attempt = time.monotonic(), 0
        while True:
            left = limit - (time.monotonic() - began)
            request = pb.WatchWorkshopRequest(id=self.id)
            try:
                stream = self._rpc.stream(self._rpc.workshops.WatchWorkshop, request, limit=left)
                with closing(stream) as changes:
                    for said in changes:
                        attempt = 0
                        self.info = _wire.workshop_change(said, self.info).workshop
                        if on_progress is not None:
                            on_progress(self._progress(began))
                        if self._settled(wanted):
                            return
                wait = pause(attempt)
            except UnavailableError as error:
                wait = pause(attempt, error.retry_after)
            except DeadlineError:
                wait = limit
            if time.monotonic() - began + wait >= limit:
                raise DeadlineError(
                    f"workshop {self.id} is not {wanted.value} after {limit:.0f} s but "
                    f"{self.status.value}: {self.reason}. It goes on by itself; wait again, "
                    "or delete it",
                    reason="DEADLINE",
                )
            attempt += 1
            tasks.sleep(wait)

    def _settled(self, wanted: WorkshopStatus) -> bool:
        """Whether it is there. Raises when it goes elsewhere."""
        status = self.info.status
        if status is wanted:
            return True
        leaving = wanted is WorkshopStatus.STOPPED and status is WorkshopStatus.STOPPING
        if status in _ENDS and wanted is not WorkshopStatus.DELETED and not leaving:
            raise WorkshopFailedError(f"workshop {self.id}", status.value, self.reason, self.info)
        return False

    def _progress(self, began: float) -> Progress:
        info = self.info
        elapsed = time.monotonic() - began
        return Progress(info.id, info.status, info.reason, info.seats_ready, info.seats, elapsed)

    def update(
        self,
        *,
        seats: int | None = None,
        ttl: Seconds | None = None,
        name: str | None = None,
        egress: Egress | None = None,
        instructions: str | None = None,
        evict: bool = False,
    ) -> Workshop:
        """Changes what is said and leaves the rest.

        `ttl` counts from now. Fewer `seats` removes free ones, highest first; learners
        lose theirs only with `evict`.

        Raises `ConflictError` (`SEATS_IN_USE`, `WORKSHOP_DELETING`) and `InvalidError`.

        >>> (workshop.update(name="Python 102")).name
        'Python 102'
        """
        with _wire.checked():
            request = pb.UpdateWorkshopRequest(
                id=self.id,
                seats=seats,
                ttl=_wire.duration(ttl),
                name=name,
                evict=evict,
                egress=_wire.egress(egress) if egress is not None else None,
                instructions=instructions,
                request_id=secrets.token_hex(16),
            )
        self._take(self._rpc.call(self._rpc.workshops.UpdateWorkshop, request))
        return self

    def stop(self) -> Workshop:
        """Ends shells and machines; seats, learners and their files are kept."""
        request = pb.StopWorkshopRequest(id=self.id, request_id=secrets.token_hex(16))
        self._take(self._rpc.call(self._rpc.workshops.StopWorkshop, request))
        return self

    def start(self) -> Workshop:
        """Brings a stopped workshop back, with new addresses and new shells."""
        request = pb.StartWorkshopRequest(id=self.id, request_id=secrets.token_hex(16))
        self._take(self._rpc.call(self._rpc.workshops.StartWorkshop, request))
        return self

    def delete(self) -> Workshop:
        """Ends it for good, without waiting: see `wait_deleted`. Asked twice, nothing changes."""
        request = pb.DeleteWorkshopRequest(id=self.id, request_id=secrets.token_hex(16))
        self._take(self._rpc.call(self._rpc.workshops.DeleteWorkshop, request))
        return self

    def list_seats(self) -> list[SeatInfo]:
        """Its seats as they are now, by number.

        >>> [seat.seat for seat in workshop.list_seats()][0]
        1
        """
        request = pb.ListSeatsRequest(workshop_id=self.id)
        said = self._rpc.call(self._rpc.workshops.ListSeats, request)
        return [_wire.seat(one) for one in said.seats]

    def reset_seat(self, seat: int) -> SeatInfo:
        """Same learner, fresh machine: files and shells are gone."""
        with _wire.checked():
            request = pb.ResetSeatRequest(
                workshop_id=self.id, seat=seat, request_id=secrets.token_hex(16)
            )
        return _wire.seat(self._rpc.call(self._rpc.workshops.ResetSeat, request))

    def revoke_seat(self, seat: int) -> SeatInfo:
        """Takes the seat from its learner; free again once its machine is fresh."""
        with _wire.checked():
            request = pb.RevokeSeatRequest(
                workshop_id=self.id, seat=seat, request_id=secrets.token_hex(16)
            )
        return _wire.seat(self._rpc.call(self._rpc.workshops.RevokeSeat, request))

    def observe_seat(
        self, seat: int, mode: ObserveMode | str = ObserveMode.OBSERVE, *, route: Route = "auto"
    ) -> Observer:
        """A way to look at a learner's terminals, or with mode `assist` to help there.

        The learner sees who watches, and lets a helper type. Raises `NotFoundError`
        (`SEAT_UNKNOWN`) and `ConflictError` (`SEAT_FREE`).

        >>> with workshop.observe_seat(seat.number) as view:
        ...     view.mode.value
        'observe'
        """
        check_route(route)
        return Observer._open(self._rpc, self.id, seat, mode, route)

    def collect_seat(self, seat: int, *, route: Route = "auto") -> SeatWork:
        """A way to read what a learner has made, and to change nothing of it.

        An event tells who asked. Raises as `observe_seat`.

        >>> with workshop.collect_seat(seat.number) as work:
        ...     names = [entry.name for entry in work.files.list()]
        """
        check_route(route)
        return SeatWork._open(self._rpc, self.id, seat, route)

    def watch_previews(self) -> Iterator[Preview]:
        """What every seat shows, then every change of it, until you stop or it is deleted.

        A lost connection is taken up again by itself; every seat is told once more then.
        """
        attempt = 0
        while True:
            request = pb.WatchPreviewsRequest(workshop_id=self.id)
            try:
                stream = self._rpc.stream(self._rpc.workshops.WatchPreviews, request)
                with closing(stream) as pictures:
                    for said in pictures:
                        attempt = 0
                        yield _wire.preview(said)
            except UnavailableError as error:
                wait = pause(attempt, error.retry_after)
            else:
                return  # the workshop is gone
            attempt += 1
            tasks.sleep(wait)

    def seat_log(self, seat: int) -> str:
        """The end of what a seat's machine logged, at most 64 KiB."""
        with _wire.checked():
            request = pb.GetSeatLogRequest(workshop_id=self.id, seat=seat)
        return (self._rpc.call(self._rpc.workshops.GetSeatLog, request)).log
