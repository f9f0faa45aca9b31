"""Making and finding workshops."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterable, Mapping

from .. import _wire
from .._generated import workshop_pb2 as pb
from .._models.words import Runtime
from .._models.workshop import (
    CostEstimate,
    Egress,
    Resources,
    WorkshopChange,
    WorkshopCost,
    WorkshopPage,
)
from .._retry import Seconds
from .rpc import AsyncRpc
from .watching import watch_workshop
from .workshop import AsyncWorkshop


class AsyncWorkshops:
    """Workshops: `client.workshops`."""

    def __init__(self, rpc: AsyncRpc) -> None:
        self._rpc = rpc

    async def create(
        self,
        name: str,
        seats: int,
        *,
        runtime: Runtime | str = Runtime.FIRECRACKER,
        ttl: Seconds | None = None,
        env: Mapping[str, str] | None = None,
        resources: Resources | None = None,
        egress: Egress | None = None,
        template: str = "",
        instructions: str = "",
        request_id: str | None = None,
    ) -> AsyncWorkshop:
        """Asks for a workshop, and does not wait for it: see `AsyncWorkshop.wait_running`.

        `name` has 1 to 100 characters. `ttl` is the time until it deletes itself; the
        server's default when not said. `env` is given to every shell and never shown
        again. `instructions` are Markdown, up to 64 KiB. The same `request_id` with the
        same wish gives the same workshop, also to another program.

        Raises `InvalidError` (`fields` says where), `ExhaustedError` (`SEAT_QUOTA`,
        `WORKERS_EXHAUSTED`) and `AuthError`.
        """
        with _wire.checked():
            request = pb.CreateWorkshopRequest(
                name=name,
                seats=seats,
                runtime=_wire.runtime(runtime),
                ttl=_wire.duration(ttl),
                env=dict(env or {}),
                resources=_wire.resources(resources) if resources is not None else None,
                egress=_wire.egress(egress) if egress is not None else None,
                template=template,
                instructions=instructions,
                request_id=request_id or secrets.token_hex(16),
            )
        said = await self._rpc.call(self._rpc.workshops.CreateWorkshop, request)
        return AsyncWorkshop(self._rpc, _wire.workshop(said))

    async def estimate_cost(
        self,
        seats: int,
        *,
        runtime: Runtime | str = Runtime.FIRECRACKER,
        ttl: Seconds | None = None,
        resources: Resources | None = None,
    ) -> CostEstimate:
        """What a workshop of this shape would cost, as far as the server knows prices.

        Raises `ConflictError` (`PRICE_UNKNOWN`) and `InvalidError`.

        >>> (await client.workshops.estimate_cost(5, runtime="container")).workers
        1
        """
        with _wire.checked():
            request = pb.EstimateCostRequest(
                seats=seats,
                runtime=_wire.runtime(runtime),
                ttl=_wire.duration(ttl),
                resources=_wire.resources(resources) if resources is not None else None,
            )
        return _wire.estimate(await self._rpc.call(self._rpc.workshops.EstimateCost, request))

    async def costs(self, workshop_ids: Iterable[str]) -> dict[str, WorkshopCost]:
        """What these workshops, 1 to 100, have cost so far, by their ids.

        >>> cost = (await client.workshops.costs([workshop.id]))[workshop.id]
        >>> cost.total_usd  # on machines that are there anyway
        0.0
        """
        with _wire.checked():
            request = pb.GetCostsRequest(workshop_ids=workshop_ids)
        return _wire.costs(await self._rpc.call(self._rpc.workshops.GetCosts, request))

    def watch(self, id: str) -> AsyncIterator[WorkshopChange]:
        """A workshop's full state, then every change: as `AsyncWorkshop.watch`.

        >>> async for change in client.workshops.watch(workshop.id):
        ...     name = change.workshop.name
        ...     break
        """
        return watch_workshop(self._rpc, id)

    async def get(self, id: str) -> AsyncWorkshop:
        """One workshop. Raises `NotFoundError` (`WORKSHOP_UNKNOWN`).

        >>> (await client.workshops.get(workshop.id)).name == workshop.name
        True
        """
        with _wire.checked():
            request = pb.GetWorkshopRequest(id=id)
        said = await self._rpc.call(self._rpc.workshops.GetWorkshop, request)
        return AsyncWorkshop(self._rpc, _wire.workshop(said))

    async def list(self, *, show_deleted: bool = False) -> AsyncIterator[AsyncWorkshop]:
        """The caller's workshops, newest first; pages are fetched as they are needed.

        `show_deleted`: also those deleted in the last seven days.

        >>> workshop.id in [found.id async for found in client.workshops.list()]
        True
        """
        token = ""
        while True:
            page = await self.page(page_token=token, show_deleted=show_deleted)
            for info in page.workshops:
                yield AsyncWorkshop(self._rpc, info)
            token = page.next_page_token
            if not token:
                return

    async def page(
        self, *, page_size: int = 100, page_token: str = "", show_deleted: bool = False
    ) -> WorkshopPage:
        """One page of at most `page_size` (1 to 500) workshops, without their seats."""
        with _wire.checked():
            request = pb.ListWorkshopsRequest(
                page_size=page_size, page_token=page_token, show_deleted=show_deleted
            )
        said = await self._rpc.call(self._rpc.workshops.ListWorkshops, request)
        return WorkshopPage(tuple(map(_wire.workshop, said.workshops)), said.next_page_token)
