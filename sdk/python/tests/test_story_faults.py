"""Clocks, proxies and restarts: what is no fault of anybody's program."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from acts import done, each, held
from cutter import Cutter

from clarateach import (
    AsyncClient,
    Client,
    ConnectionLostError,
    Seat,
    TerminalEvent,
    UnavailableError,
    Workshop,
    WorkshopStatus,
    _socket,
)
from clarateach._secret import Secret

if TYPE_CHECKING:
    from conftest import Server

IDLE = 1.0
FAKETIME = shutil.which("faketime") or ""
LAYERS = [Client, AsyncClient]
SKEWED = """
import sys
from clarateach import Client
url, code, mine = sys.argv[1:]
with Client(url) as client, client.join(code, reconnect_code=mine, route="direct") as seat:
    print(seat.run("echo here").output, end="")  # under the worker's own certificate
    assert not seat._keeper.session.due
    seat.refresh()
    with seat.terminal("skewed") as terminal:
        terminal.write("echo th''ere\\n")
        terminal.read_until("there")
"""
ASYNC_SKEWED = """
import asyncio, sys
from clarateach import AsyncClient
async def main(url, code, mine):
    async with AsyncClient(url) as client:
        seat = await client.join(code, reconnect_code=mine, route="direct")
        print((await seat.run("echo here")).output, end="")
        assert not seat._keeper.session.due
        await seat.refresh()
        async with seat.terminal("skewed") as terminal:
            await terminal.write("echo th''ere\\n")
            await terminal.read_until("there")
asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def own(client: Client) -> Iterator[Workshop]:
    """A class of this file's own: others need not notice."""
    made = client.workshops.create("Faults", 1, runtime="container")
    try:
        yield made.wait_running()
    finally:
        made.delete().wait_deleted()


@pytest.fixture(scope="module")
def learner(client: Client, own: Workshop) -> Seat:
    """Its learner."""
    return client.join(own.code, name="unlucky").wait_ready()


def shell(name: str, kind: Any) -> str:
    """One of each layer's own: what the other's said would be on its screen."""
    return f"{name}-{kind.__name__.lower()}"


@pytest.mark.skipif(not FAKETIME, reason="needs faketime")
@pytest.mark.parametrize("program", [SKEWED, ASYNC_SKEWED], ids=["threads", "asyncio"])
@pytest.mark.parametrize("off", ["-1h", "+1h"])
def test_a_clock_that_is_off_by_an_hour_does_not_matter(
    server: Server, own: Workshop, learner: Seat, off: str, program: str
) -> None:
    given = [server.url, own.code, learner.reconnect_code]
    line = [FAKETIME, "-f", off, sys.executable, "-c", program, *given]
    ran = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout) == (0, "here\n"), ran.stderr


@pytest.mark.parametrize("kind", LAYERS)
async def test_a_proxy_that_cuts_what_is_idle_loses_nothing(
    server: Server, own: Workshop, learner: Seat, kind: Any
) -> None:
    events: list[TerminalEvent] = []
    name = f"Faults by {kind.__name__}"
    with Cutter(server.url, IDLE) as proxy:
        async with held(kind(proxy.url, server.token)) as far:
            joined = far.join(own.code, reconnect_code=learner.reconnect_code, route="gateway")
            seat = await done(joined)
            opened = seat.terminal(shell("idle", kind), on_event=events.append)
            async with held(opened) as terminal:
                await done(terminal.write("sleep 3; echo aw''ake\n"))
                await done(terminal.read_until("awake\r\n"))
                await done(terminal.write("echo st''ill\n"))
                await done(terminal.read_until("still\r\n"))
            assert any(event.kind == "reconnecting" for event in events)
            # Calls after a pause, and a watch that hears nothing.
            workshop = await done(far.workshops.get(own.id))
            changes = each(workshop.watch())
            assert (await anext(changes)).workshop.id == own.id
            cuts = proxy.cuts
            while proxy.cuts == cuts:
                await asyncio.sleep(0.05)
            await done(workshop.update(name=name))
            assert name in [one async for one in first(changes, name)]
            # A command is not run twice, so this one is told.
            with pytest.raises((ConnectionLostError, UnavailableError)):
                await done(seat.run("sleep 5"))


async def first(changes: AsyncIterator[Any], name: str) -> AsyncIterator[str]:
    """Names of a workshop, up to this one."""
    async for change in changes:
        yield change.workshop.name
        if change.workshop.name == name:
            return


@pytest.mark.parametrize("kind", LAYERS)
async def test_a_sign_of_life_keeps_an_idle_terminal_open(
    server: Server, own: Workshop, learner: Seat, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    assert _socket.SETTINGS["ping_interval"] < 60
    monkeypatch.setitem(_socket.SETTINGS, "ping_interval", IDLE / 4)
    events: list[TerminalEvent] = []
    with Cutter(server.url, IDLE) as proxy:
        async with held(kind(proxy.url)) as far:
            joined = far.join(own.code, reconnect_code=learner.reconnect_code, route="gateway")
            seat = await done(joined)
            opened = seat.terminal(shell("lively", kind), on_event=events.append)
            async with held(opened) as terminal:
                await done(terminal.write("sleep 3; echo aw''ake\n"))
                await done(terminal.read_until("awake\r\n"))
    assert not [event for event in events if event.kind == "reconnecting"]


@pytest.mark.parametrize("kind", LAYERS)
async def test_a_server_that_restarts_interrupts_nothing(
    server: Server, own: Workshop, learner: Seat, kind: Any
) -> None:
    mine, name = learner.reconnect_code, f"restarted under {kind.__name__}"
    async with held(kind(server.url, server.token)) as client:
        through = await done(client.join(own.code, reconnect_code=mine, route="gateway"))
        straight = await done(client.join(own.code, reconnect_code=mine, route="direct"))
        workshop = await done(client.workshops.get(own.id))
        async with (
            held(through.terminal("through")) as one,
            held(straight.terminal("straight")) as other,
        ):
            await done(one.read_until("$"))
            await done(other.read_until("$"))
            changes = each(workshop.watch())
            assert (await anext(changes)).workshop.status is WorkshopStatus.RUNNING
            await asyncio.to_thread(server.restart)
            # Said by nobody before: the other layer's words may still be on the screen.
            word = kind.__name__
            for terminal in (other, one):
                await done(terminal.write(f"echo {word}''-here\n"))
                await done(terminal.read_until(f"{word}-here\r\n"))
            assert (await done(straight.run("echo run"))).output == "run\n"
            await done((await done(client.workshops.get(own.id))).update(name=name))
            assert name in [one async for one in first(changes, name)]


@pytest.mark.parametrize("kind", LAYERS)
async def test_a_token_that_is_over_is_renewed_and_a_void_one_replaced(
    server: Server, own: Workshop, learner: Seat, kind: Any
) -> None:
    async with held(kind(server.url)) as client:
        seat = await done(client.join(own.code, reconnect_code=learner.reconnect_code))
        keeper = seat._keeper
        before = keeper.session
        keeper.session = replace(before, renew_at=0)
        assert (await done(seat.run("echo over"))).output == "over\n"
        assert keeper.session.token != before.token
        keeper.session = replace(keeper.session, token=Secret("e30.e30.e30"))
        assert (await done(seat.run("echo void"))).output == "void\n"
