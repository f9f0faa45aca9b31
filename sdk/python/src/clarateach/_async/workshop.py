"""One workshop, and what its instructor does with it."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

from .. import _tasks_async as tasks
from .. import _wire
from .._fields import WorkshopFields
from .._generated import workshop_pb2 as pb
from .._models.progress import Progress
from .._models.words import ObserveMode, WorkshopStatus
from .._models.workshop import Egress, Preview, SeatInfo, WorkshopChange, WorkshopInfo
from .._retry import Seconds, pause, seconds
from ..errors import DeadlineError, UnavailableError, WorkshopFailedError
from .rpc import AsyncRpc
from .visit import AsyncObserver, AsyncSeatWork
from .watching import watch_workshop
from .way import Route, check_route

_ENDS = (
    WorkshopStatus.FAILED,
    WorkshopStatus.DELETING,
    WorkshopStatus.DELETED,
    WorkshopStatus.STOPPING,
    WorkshopStatus.STOPPED,
)


class AsyncWorkshop(WorkshopFields):
    """A workshop: `info`, and its fields as attributes, are as they were when last heard of."""

    def __init__(self, rpc: AsyncRpc, info: WorkshopInfo) -> None:
        self._rpc = rpc
        self.info = info

    def _take(self, said: pb.Workshop) -> None:
        self.info = _wire.workshop(said)

    async def refresh(self) -> AsyncWorkshop:
        """Reads it again.

        >>> (await workshop.refresh()).status.value
        'running'
        """
        request = pb.GetWorkshopRequest(id=self.id)
        self._take(await self._rpc.call(self._rpc.workshops.GetWorkshop, request))
        return self

    async def watch(self) -> AsyncIterator[WorkshopChange]:
        """The full state first, then after every change, until it is deleted.

        A lost connection is taken up again by itself, for as long as it takes; only
        what waiting does not mend is raised.
        """
        async with aclosing(watch_workshop(self._rpc, self.id, self.info)) as changes:
            async for change in changes:
                self.info = change.workshop
                yield change

    async def wait_running(
        self,
        on_progress: Callable[[Progress], None] | None = None,
        *,
        timeout: Seconds = 900,
    ) -> AsyncWorkshop:
        """Until every seat answers.

        `on_progress` is told of every change. Ctrl-C leaves the workshop as it is.

        Raises `WorkshopFailedError` as soon as it will not come, and `DeadlineError`
        after `timeout`.

        >>> (await workshop.wait_running()).status.value
        'running'
        """
        await self._wait(WorkshopStatus.RUNNING, on_progress, seconds(timeout))
        return self

    async def wait_deleted(
        self,
        on_progress: Callable[[Progress], None] | None = None,
        *,
        timeout: Seconds = 900,
    ) -> AsyncWorkshop:
        """Until nothing of it runs or is billed. Raises `DeadlineError` after `timeout`."""
        await self._wait(WorkshopStatus.DELETED, on_progress, seconds(timeout))
        return self

    async def wait_stopped(
        self,
        on_progress: Callable[[Progress], None] | None = None,
        *,
        timeout: Seconds = 900,
    ) -> AsyncWorkshop:
        """Until its machines are stopped. Raises as `wait_running`."""
        await self._wait(WorkshopStatus.STOPPED, on_progress, seconds(timeout))
        return self

    async def _wait(
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
                async with aclosing(stream) as changes:
                    async for said in changes:
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
            await tasks.sleep(wait)

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

    async def update(
        self,
        *,
        seats: int | None = None,
        ttl: Seconds | None = None,
        name: str | None = None,
        egress: Egress | None = None,
        instructions: str | None = None,
        evict: bool = False,
    ) -> AsyncWorkshop:
        """Changes what is said and leaves the rest.

        `ttl` counts from now. Fewer `seats` removes free ones, highest first; learners
        lose theirs only with `evict`.

        Raises `ConflictError` (`SEATS_IN_USE`, `WORKSHOP_DELETING`) and `InvalidError`.

        >>> (await workshop.update(name="Python 102")).name
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
        self._take(await self._rpc.call(self._rpc.workshops.UpdateWorkshop, request))
        return self

    async def stop(self) -> AsyncWorkshop:
        """Ends shells and machines; seats, learners and their files are kept."""
        request = pb.StopWorkshopRequest(id=self.id, request_id=secrets.token_hex(16))
        self._take(await self._rpc.call(self._rpc.workshops.StopWorkshop, request))
        return self

    async def start(self) -> AsyncWorkshop:
        """Brings a stopped workshop back, with new addresses and new shells."""
        request = pb.StartWorkshopRequest(id=self.id, request_id=secrets.token_hex(16))
        self._take(await self._rpc.call(self._rpc.workshops.StartWorkshop, request))
        return self

    async def delete(self) -> AsyncWorkshop:
        """Ends it for good, without waiting: see `wait_deleted`. Asked twice, nothing changes."""
        request = pb.DeleteWorkshopRequest(id=self.id, request_id=secrets.token_hex(16))
        self._take(await self._rpc.call(self._rpc.workshops.DeleteWorkshop, request))
        return self

    async def list_seats(self) -> list[SeatInfo]:
        """Its seats as they are now, by number.

        >>> [seat.seat for seat in await workshop.list_seats()][0]
        1
        """
        request = pb.ListSeatsRequest(workshop_id=self.id)
        said = await self._rpc.call(self._rpc.workshops.ListSeats, request)
        return [_wire.seat(one) for one in said.seats]

    async def reset_seat(self, seat: int) -> SeatInfo:
        """Same learner, fresh machine: files and shells are gone."""
        with _wire.checked():
            request = pb.ResetSeatRequest(
                workshop_id=self.id, seat=seat, request_id=secrets.token_hex(16)
            )
        return _wire.seat(await self._rpc.call(self._rpc.workshops.ResetSeat, request))

    async def revoke_seat(self, seat: int) -> SeatInfo:
        """Takes the seat from its learner; free again once its machine is fresh."""
        with _wire.checked():
            request = pb.RevokeSeatRequest(
                workshop_id=self.id, seat=seat, request_id=secrets.token_hex(16)
            )
        return _wire.seat(await self._rpc.call(self._rpc.workshops.RevokeSeat, request))

    async def observe_seat(
        self, seat: int, mode: ObserveMode | str = ObserveMode.OBSERVE, *, route: Route = "auto"
    ) -> AsyncObserver:
        """A way to look at a learner's terminals, or with mode `assist` to help there.

        The learner sees who watches, and lets a helper type. Raises `NotFoundError`
        (`SEAT_UNKNOWN`) and `ConflictError` (`SEAT_FREE`).

        >>> async with await workshop.observe_seat(seat.number) as view:
        ...     view.mode.value
        'observe'
        """
        check_route(route)
        return await AsyncObserver._open(self._rpc, self.id, seat, mode, route)

    async def collect_seat(self, seat: int, *, route: Route = "auto") -> AsyncSeatWork:
        """A way to read what a learner has made, and to change nothing of it.

        An event tells who asked. Raises as `observe_seat`.

        >>> async with await workshop.collect_seat(seat.number) as work:
        ...     names = [entry.name for entry in await work.files.list()]
        """
        check_route(route)
        return await AsyncSeatWork._open(self._rpc, self.id, seat, route)

    async def watch_previews(self) -> AsyncIterator[Preview]:
        """What every seat shows, then every change of it, until you stop or it is deleted.

        A lost connection is taken up again by itself; every seat is told once more then.
        """
        attempt = 0
        while True:
            request = pb.WatchPreviewsRequest(workshop_id=self.id)
            try:
                stream = self._rpc.stream(self._rpc.workshops.WatchPreviews, request)
                async with aclosing(stream) as pictures:
                    async for said in pictures:
                        attempt = 0
                        yield _wire.preview(said)
            except UnavailableError as error:
                wait = pause(attempt, error.retry_after)
            else:
                return  # the workshop is gone
            attempt += 1
            await tasks.sleep(wait)

    async def seat_log(self, seat: int) -> str:
        """The end of what a seat's machine logged, at most 64 KiB."""
        with _wire.checked():
            request = pb.GetSeatLogRequest(workshop_id=self.id, seat=seat)
        return (await self._rpc.call(self._rpc.workshops.GetSeatLog, request)).log
