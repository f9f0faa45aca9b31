"""The acts of the conformance kit, by this package: in threads or in asyncio."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, cast

from kit import Act, RefusedError, matches
from worker import lose

from clarateach import ClarateachError, Egress, EgressMode


async def done(value: Any) -> Any:
    """What a call gives, in either layer."""
    return await value if inspect.isawaitable(value) else value


@asynccontextmanager
async def held(thing: Any) -> AsyncIterator[Any]:
    """`with` in either layer."""
    thing = await done(thing)
    if hasattr(thing, "__aenter__"):
        async with thing as entered:
            yield entered
    else:
        with thing as entered:
            yield entered


async def each(items: Any) -> AsyncIterator[Any]:
    """`for` in either layer."""
    if hasattr(items, "__aiter__"):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


def plain(value: Any) -> Any:
    """As the JSON face spells it."""
    if is_dataclass(value):
        return {part.name: plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value.isoformat() if isinstance(value, datetime) else value


def told(change: Any) -> Any:
    """A message of either watch: what it is of, with its notices."""
    said = plain(change)
    return {**said.pop("workshop", {}), **said}


class SdkFace:
    """A client of this package; `kind` is `Client` or `AsyncClient`."""

    def __init__(self, kind: Any, url: str, token: str, data: Path) -> None:
        self.name = "python"
        self._data = data
        self._watches: dict[str, AsyncIterator[Any]] = {}
        self._kind = kind
        self._url = url
        self._token = token
        self._clients: dict[str, Any] = {}
        self._seats: dict[str, Any] = {}
        names = [name for name in dir(self) if name.startswith("do_")]
        self.acts: Mapping[str, Act] = {name[3:]: self._act(getattr(self, name)) for name in names}

    def _act(self, inner: Any) -> Act:
        @functools.wraps(inner)
        async def act(given: Mapping[str, Any], token: str | None, keep: str | None) -> Any:
            arguments = {name: value for name, value in given.items() if name != "seat"}
            if "watch" in given:
                arguments["watch"] = self._watches[given["watch"]]
            if "seat" in given:
                seat = given["seat"]
                arguments["seat"] = self._seats[seat] if isinstance(seat, str) else seat
            for name, value in (("client", self._as(token)), ("keep", keep)):
                if name in inspect.signature(inner).parameters:
                    arguments[name] = value
            try:
                return await inner(**arguments)
            except ClarateachError as error:
                names = [wrong.field for wrong in error.fields]
                raise RefusedError(error.reason, names, {"error": type(error).__name__}) from error

        return act

    def _as(self, token: str | None) -> Any:
        token = self._token if token is None else token
        if token not in self._clients:
            self._clients[token] = self._kind(self._url, token)
        return self._clients[token]

    async def close(self) -> None:
        """Ends every connection."""
        for watch in self._watches.values():
            await cast("Any", watch).aclose()
        for client in self._clients.values():
            await done(client.aclose() if hasattr(client, "aclose") else client.close())

    @staticmethod
    def _changed(more: dict[str, Any]) -> dict[str, Any]:
        if "egress" in more:
            asked = more["egress"]
            more["egress"] = Egress(EgressMode(asked["mode"]), tuple(asked.get("allow", ())))
        if "ttl" in more:
            more["ttl"] = timedelta(seconds=more["ttl"])
        return more

    async def do_create(self, client: Any, name: str, seats: int, **more: Any) -> Any:
        made = await done(client.workshops.create(name, seats, **self._changed(more)))
        return plain(made.info)

    async def do_get(self, client: Any, id: str) -> Any:
        return plain((await done(client.workshops.get(id))).info)

    async def do_list(self, client: Any) -> Any:
        return {"workshops": [plain(one.info) async for one in each(client.workshops.list())]}

    async def do_update(self, client: Any, id: str, **more: Any) -> Any:
        workshop = await done(client.workshops.get(id))
        return plain((await done(workshop.update(**self._changed(more)))).info)

    async def do_delete(self, client: Any, id: str) -> Any:
        workshop = await done(client.workshops.get(id))
        return plain((await done(workshop.delete())).info)

    async def do_stop(self, client: Any, id: str) -> Any:
        workshop = await done(client.workshops.get(id))
        return plain((await done(workshop.stop())).info)

    async def do_start(self, client: Any, id: str) -> Any:
        workshop = await done(client.workshops.get(id))
        return plain((await done(workshop.start())).info)

    async def do_wait(self, client: Any, id: str, status: str) -> Any:
        workshop = await done(client.workshops.get(id))
        await done(getattr(workshop, f"wait_{status}")(timeout=100))
        return plain(workshop.info)

    async def do_wait_seat(self, client: Any, id: str, seat: int, state: str, taken: bool) -> Any:
        workshop = await done(client.workshops.get(id))
        async for change in each(workshop.watch()):
            one = change.workshop.seat_list[seat - 1]
            if one.state.value == state and one.taken is taken:
                return plain(one)
        return None

    async def do_reset_seat(self, client: Any, id: str, seat: int) -> Any:
        return plain(await done((await done(client.workshops.get(id))).reset_seat(seat)))

    async def do_revoke_seat(self, client: Any, id: str, seat: int) -> Any:
        return plain(await done((await done(client.workshops.get(id))).revoke_seat(seat)))

    async def do_create_token(self, client: Any, **more: Any) -> Any:
        made = await done(client.tokens.create(**more))
        return {"token": made.token, **plain(made.info)}

    async def do_revoke_token(self, client: Any, id: str) -> Any:
        return plain(await done(client.tokens.revoke(id)))

    async def do_join(self, client: Any, keep: str | None, code: str, **more: Any) -> Any:
        seat = await done(client.join(code, **more))
        if keep is not None:
            self._seats[keep] = seat
        told = ("workshop_id", "workshop_name", "instructions", "reconnect_code")
        return {"seat": seat.number, **{name: getattr(seat, name) for name in told}}

    async def do_refresh(self, seat: Any) -> Any:
        await done(seat.refresh())

    async def do_run(self, seat: Any, command: Any) -> Any:
        ran = await done(seat.run(command))
        return {"exit_code": ran.exit_code, "stdout": ran.stdout, "stderr": ran.stderr}

    async def do_write(self, seat: Any, path: str, text: str) -> Any:
        await done(seat.files.write(path, text))

    async def do_read(self, seat: Any, path: str) -> Any:
        return {"text": await done(seat.files.read_text(path))}

    async def do_unlink(self, seat: Any, path: str) -> Any:
        await done(seat.files.delete(path))

    async def do_names(self, seat: Any, path: str) -> Any:
        return {"names": [entry.name for entry in await done(seat.files.list(path))]}

    async def do_watch(self, client: Any, keep: str | None, id: str) -> Any:
        return await self._watched(client.workshops.watch(id), keep)

    async def do_watch_seat(self, keep: str | None, seat: Any) -> Any:
        return await self._watched(seat.watch(), keep)

    async def _watched(self, watch: Any, keep: str | None) -> Any:
        changes = each(watch)
        first = told(await anext(changes))
        self._watches[keep or ""] = changes
        return first

    async def do_heard(self, watch: AsyncIterator[Any], until: Any) -> Any:
        async for change in watch:
            if matches(until, told(change)):
                return told(change)
        raise AssertionError(f"{until} was never heard")

    async def do_ended(self, watch: AsyncIterator[Any]) -> Any:
        async for _ in watch:
            pass

    async def do_estimate(self, client: Any, **more: Any) -> Any:
        cost = await done(client.workshops.estimate_cost(**self._changed(more)))
        return plain(cost)

    async def do_costs(self, client: Any, workshop_ids: list[str]) -> Any:
        costs = await done(client.workshops.costs(workshop_ids))
        known = [cost.total_usd for cost in costs.values() if cost.total_usd is not None]
        return {
            "costs": [
                {"workshop_id": id, "total_microusd": round(usd * 1e6)}
                for id, usd in zip(costs, known, strict=True)
            ],
            "price_known": len(known) == len(costs),
            "explanation": next(iter(costs.values())).explanation,
        }

    async def do_terminal(
        self, client: Any, seat: Any, name: str, script: list[dict[str, str]]
    ) -> Any:
        events: list[str] = []
        opened = seat.terminal(name, on_event=lambda event: events.append(event.kind))
        async with held(opened) as terminal:
            for line in script:
                await self._play(terminal, [line])
                if "lose" in line:
                    workshop = await done(client.workshops.get(line["lose"]))
                    lose(self._data, workshop.workers[0].name)
                while line.get("event", "live") not in [*events, "live"]:
                    await done(terminal.read())
            if "until" in script[-1]:
                return {}
            async for _ in each(terminal):
                pass  # to the shell's end
            return {"exit_code": terminal.exit_code}

    async def do_observe(
        self, client: Any, id: str, seat: int, mode: str, name: str, script: Any
    ) -> Any:
        workshop = await done(client.workshops.get(id))
        async with (
            held(workshop.observe_seat(seat, mode)) as view,
            held(view.terminal(name)) as there,
        ):
            await self._play(there, script)

    async def do_collect(self, client: Any, id: str, seat: int, path: str) -> Any:
        workshop = await done(client.workshops.get(id))
        async with held(workshop.collect_seat(seat)) as work:
            return {"text": await done(work.files.read_text(path))}

    async def _play(self, terminal: Any, script: list[dict[str, str]]) -> None:
        for line in script:
            if "type" in line:
                await done(terminal.write(line["type"]))
            if "until" in line:
                await done(terminal.read_until(line["until"]))
