# Made by generate.sh from _async/watching.py: edit that one.
"""A watch of a workshop that outlives the connections it is made of."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

from .. import _tasks_sync as tasks
from .. import _wire
from .._generated import workshop_pb2 as pb
from .._models.words import WorkshopStatus
from .._models.workshop import WorkshopChange, WorkshopInfo
from .._retry import pause
from ..errors import UnavailableError
from .rpc import Rpc


def watch_workshop(
    rpc: Rpc, workshop_id: str, now: WorkshopInfo | None = None
) -> Generator[WorkshopChange, None]:
    """The full state first, then every change, until it is deleted."""
    attempt, seen = 0, 0
    while True:
        with _wire.checked():
            request = pb.WatchWorkshopRequest(id=workshop_id, since_revision=seen)
        try:
            stream = rpc.stream(rpc.workshops.WatchWorkshop, request)
            with closing(stream) as changes:
                for said in changes:
                    attempt, seen = 0, said.revision
                    change = _wire.workshop_change(said, now or _wire.workshop(said.workshop))
                    now = change.workshop
                    yield change
                    if now.status is WorkshopStatus.DELETED:
                        return
        except UnavailableError as error:
            wait = pause(attempt, error.retry_after)
        else:
            wait = pause(attempt)
        attempt += 1
        tasks.sleep(wait)
