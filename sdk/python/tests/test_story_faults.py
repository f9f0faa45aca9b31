"""Clocks, proxies and restarts: what is no fault of anybody's program."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from cutter import Cutter

from clarateach import (
    Client,
    ConnectionLostError,
    Seat,
    TerminalEvent,
    UnavailableError,
    Workshop,
    WorkshopStatus,
    _socket,
)

if TYPE_CHECKING:
    from conftest import Server

IDLE = 1.0
FAKETIME = shutil.which("faketime") or ""
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


@pytest.mark.skipif(not FAKETIME, reason="needs faketime")
@pytest.mark.parametrize("off", ["-1h", "+1h"])
def test_a_clock_that_is_off_by_an_hour_does_not_matter(
    server: Server, own: Workshop, learner: Seat, off: str
) -> None:
    given = [server.url, own.code, learner.reconnect_code]
    program = [FAKETIME, "-f", off, sys.executable, "-c", SKEWED, *given]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "here\n"), done.stderr


def test_a_proxy_that_cuts_what_is_idle_loses_nothing(
    server: Server, own: Workshop, learner: Seat
) -> None:
    events: list[TerminalEvent] = []
    code, mine = own.code, learner.reconnect_code
    with Cutter(server.url, IDLE) as proxy, Client(proxy.url, server.token) as far:
        seat = far.join(code, reconnect_code=mine, route="gateway")
        with seat.terminal("idle", on_event=events.append) as terminal:
            terminal.write("sleep 3; echo aw''ake\n")
            terminal.read_until("awake\r\n")
            terminal.write("echo st''ill\n")
            terminal.read_until("still\r\n")
        assert any(event.kind == "reconnecting" for event in events)
        # Calls after a pause, and a watch that hears nothing.
        workshop = far.workshops.get(own.id)
        changes = workshop.watch()
        assert next(changes).workshop.name == "Faults"
        time.sleep(2 * IDLE)
        workshop.update(name="Faults and all")
        assert any(change.workshop.name == "Faults and all" for change in changes)
        # A command is not run twice, so this one is told.
        with pytest.raises((ConnectionLostError, UnavailableError)):
            seat.run("sleep 5")


def test_a_sign_of_life_keeps_an_idle_terminal_open(
    server: Server, own: Workshop, learner: Seat, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _socket.SETTINGS["ping_interval"] < 60
    monkeypatch.setitem(_socket.SETTINGS, "ping_interval", IDLE / 4)
    events: list[TerminalEvent] = []
    with Cutter(server.url, IDLE) as proxy, Client(proxy.url) as far:
        seat = far.join(own.code, reconnect_code=learner.reconnect_code, route="gateway")
        with seat.terminal("lively", on_event=events.append) as terminal:
            terminal.write("sleep 3; echo aw''ake\n")
            terminal.read_until("awake\r\n")
    assert not [event for event in events if event.kind == "reconnecting"]


def test_a_server_that_restarts_interrupts_nothing(
    server: Server, client: Client, own: Workshop, learner: Seat
) -> None:
    with (
        client.join(own.code, reconnect_code=learner.reconnect_code, route="gateway") as through,
        client.join(own.code, reconnect_code=learner.reconnect_code, route="direct") as straight,
        through.terminal("through") as one,
        straight.terminal("straight") as other,
    ):
        one.read_until("$")
        other.read_until("$")
        changes = own.watch()
        assert next(changes).workshop.status is WorkshopStatus.RUNNING
        server.restart()
        other.write("echo he''re\n")
        other.read_until("here\r\n")
        one.write("echo the''re\n")
        one.read_until("there\r\n")
        assert straight.run("echo run").output == "run\n"
        client.workshops.get(own.id).update(name="after the restart")
        assert any(change.workshop.name == "after the restart" for change in changes)
