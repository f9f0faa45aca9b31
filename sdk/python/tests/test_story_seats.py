"""Commands and terminals of one seat, whatever happens to connections."""

from __future__ import annotations

import logging
import re
import socket
import threading
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cutter import Cutter

from clarateach import (
    AsyncClient,
    AsyncSeat,
    AuthError,
    CertificateError,
    Client,
    CommandFailedError,
    ConflictError,
    ConnectionLostError,
    DeadlineError,
    InvalidError,
    Seat,
    TerminalEvent,
    UnavailableError,
    Workshop,
)
from clarateach._secret import Secret

if TYPE_CHECKING:
    from conftest import Server

COUNT = "for i in $(seq {last}); do echo line-$i-; done; echo e''nd\n"


def lines(said: bytes) -> list[int]:
    """The numbers that were counted."""
    return [int(number) for number in re.findall(rb"line-(\d+)-", said)]


def test_a_command_says_how_it_ended(seat: Seat) -> None:
    done = seat.run("cat; echo err >&2; exit 7", stdin="in\n")
    assert (done.stdout, done.stderr, done.exit_code) == ("in\n", "err\n", 7)
    assert seat.run(["printf", "%s", "$HOME"]).output == "$HOME"
    assert seat.run("echo $A; pwd", env={"A": "b c"}, cwd="/tmp").output == "b c\n/tmp\n"
    ended = seat.run("sleep 60", timeout=1)
    assert (ended.timed_out, ended.exit_code) == (True, None)
    with pytest.raises(CommandFailedError, match="exit code 3") as failed:
        seat.run("echo why >&2; exit 3", check=True)
    assert failed.value.result.stderr == "why\n"
    assert seat.run("head -c 3000000 /dev/zero").output == "\0" * 3_000_000


def test_a_command_is_read_while_it_runs_and_ends_when_left(seat: Seat) -> None:
    with seat.start("echo first; sleep 600; echo never") as command:
        assert next(iter(command)) == ("stdout", b"first\n")
    left = seat.run("while pgrep -f 'sleep 60''0' >/dev/null; do sleep 0.1; done", timeout=60)
    assert left.exit_code == 0


def test_a_terminal_is_written_read_and_resized(seat: Seat) -> None:
    with seat.terminal("plain", cols=100, rows=30) as terminal:
        terminal.write("stty size\n")
        terminal.read_until("30 100")
        terminal.resize(120, 40)
        terminal.write(b"stty size\n")
        terminal.read_until("40 120")
        with pytest.raises(DeadlineError):
            terminal.read_until("never said", timeout=0.3)
        terminal.write("e''xit 5\n")
        assert b"logout" in b"".join(terminal)
        assert terminal.exit_code == 5
        assert terminal.read() == b""
        with pytest.raises(ConflictError) as over:
            terminal.write("x")
        assert over.value.reason == "SHELL_ENDED"
        with pytest.raises(InvalidError):
            terminal.resize(0, 0)


def test_another_program_goes_on_at_the_byte(seat: Seat) -> None:
    with seat.terminal("resumed") as terminal:
        terminal.write(COUNT.format(last=50))
        terminal.read_until("line-20-")
        offset, instance = terminal.offset, terminal.instance
    with seat.terminal("resumed", offset=offset, instance=instance) as terminal:
        assert lines(terminal.read_until("end\r\n")) == list(range(21, 51))
    with seat.terminal("resumed", offset=0) as terminal:
        assert lines(terminal.read_until("end\r\n")) == list(range(1, 51))


def test_a_terminal_outlives_its_socket(
    server: Server, cutter: Cutter, seat: Seat, workshop: Workshop
) -> None:
    events: list[TerminalEvent] = []
    with Client(cutter.url) as client:
        again = client.join(workshop.code, reconnect_code=seat.reconnect_code, route="gateway")
        with again.terminal("cut", on_event=events.append) as terminal:
            terminal.write(COUNT.format(last=20000))
            said = terminal.read_until("line-100-")
            for _ in range(3):
                cutter.cut()
                said += terminal.read_until(f"line-{lines(said)[-1] + 2000}-")
            cutter.go_away()
            threading.Timer(0.5, cutter.come_back).start()
            said += terminal.read_until("end\r\n", timeout=60)
            assert lines(said) == list(range(1, 20001))
            assert sum(event.kind == "reconnected" for event in events) >= 1
            cutter.cut()
            said = b""
            while b"still\r\n" not in said:
                # Typed into a socket that is cut, it may be lost: never said, never twice.
                terminal.write("echo s''till\n")
                with suppress(DeadlineError):
                    said = terminal.read_until("still\r\n", timeout=2)


def test_the_same_straight_to_the_worker(client: Client, seat: Seat, workshop: Workshop) -> None:
    again = client.join(workshop.code, reconnect_code=seat.reconnect_code, route="direct")
    with again, again.terminal("straight") as terminal:
        terminal.write(COUNT.format(last=20000))
        said = terminal.read_until("line-100-")
        broken = terminal._line._socket
        assert broken is not None
        broken.socket.shutdown(socket.SHUT_RDWR)
        said += terminal.read_until("end\r\n")
        assert lines(said) == list(range(1, 20001))
        assert terminal._line._socket is not broken


def test_a_terminal_that_does_not_come_back_is_given_up(
    cutter: Cutter, seat: Seat, workshop: Workshop
) -> None:
    with Client(cutter.url) as client:
        again = client.join(workshop.code, reconnect_code=seat.reconnect_code, route="gateway")
        with again.terminal("gone", patience=0.5) as terminal:
            cutter.go_away()
            with pytest.raises(ConnectionLostError, match="its shell goes on"):
                list(terminal)


async def test_the_same_in_asyncio(
    server: Server, cutter: Cutter, seat: Seat, workshop: Workshop
) -> None:
    async with AsyncClient(cutter.url) as client:
        joined = await client.join(
            workshop.code, reconnect_code=seat.reconnect_code, route="gateway"
        )
        assert (await joined.run("echo hi")).output == "hi\n"
        async with joined.terminal("acut") as terminal:
            await terminal.write(COUNT.format(last=5000))
            said = await terminal.read_until("line-100-")
            cutter.cut()
            said += await terminal.read_until("end\r\n")
            assert lines(said) == list(range(1, 5001))
            with pytest.raises(DeadlineError):
                await terminal.read_until("never said", timeout=0.2)
            await terminal.write("e''xit 4\n")
            async for _ in terminal:
                pass
            assert terminal.exit_code == 4


async def test_a_command_in_asyncio_ends_with_its_task(aseat: AsyncSeat) -> None:
    async with aseat.start("echo first; sleep 601") as command:
        async for piece in command:
            assert piece == ("stdout", b"first\n")
            break
    left = await aseat.run("while pgrep -f 'sleep 60''1' >/dev/null; do sleep 0.1; done")
    assert left.exit_code == 0


def test_a_flood_can_be_stopped(seat: Seat) -> None:
    with seat.terminal("flood") as terminal:
        terminal.write("yes\n")
        seen = 0
        while seen < 1_000_000:
            seen += len(terminal.read(30))
        terminal.write(b"\x03")
        terminal.write("echo st''opped\n")
        terminal.read_until("stopped\r\n", timeout=60)


def test_a_token_renews_itself(client: Client, seat: Seat, workshop: Workshop) -> None:
    again = client.join(workshop.code, reconnect_code=seat.reconnect_code)
    keeper = again._keeper
    first = keeper.session
    keeper.session = replace(first, renew_at=0)
    assert again.run("echo renewed").output == "renewed\n"
    assert keeper.session.token != first.token
    # One that is void: the seat is taken again with its reconnect code.
    void = replace(keeper.session, token=Secret("e30.e30.e30"))
    keeper.session = void
    assert again.run("echo taken again").output == "taken again\n"
    assert keeper.session is not void
    with again.terminal("renewed") as terminal:
        keeper.session = replace(keeper.session, renew_at=0)
        keeper._tick()
        assert not keeper.session.due
        terminal.write("echo al''ive\n")
        terminal.read_until("alive")
    again.close()


def test_a_worker_that_is_another_is_not_spoken_to(client: Client, workshop: Workshop) -> None:
    other = client.workshops.create("Another CA", 1, runtime="container")
    with client.join(workshop.code, name="careful", route="direct") as seat:
        seat._keeper.session = replace(seat._keeper.session, ca=other.info.ca_certificate)
        with pytest.raises(CertificateError):
            seat.run("echo secret")
        with pytest.raises(CertificateError), seat.terminal("x"):
            pass
    other.delete().wait_deleted()


def test_a_seat_that_is_taken_away_says_so(client: Client) -> None:
    made = client.workshops.create("Revoked", 1, runtime="container").wait_running()
    with client.join(made.code) as seat, seat.terminal() as terminal:
        terminal.read(30)
        made.revoke_seat(1)
        with pytest.raises((AuthError, ConflictError)) as gone:
            list(terminal)
        assert gone.value.reason == "SEAT_REVOKED"
    made.delete().wait_deleted()


def test_nothing_secret_is_written_down(
    client: Client, workshop: Workshop, seat: Seat, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        again = client.join(workshop.code, reconnect_code=seat.reconnect_code)
        again.run("true")
        with again.terminal("quiet") as terminal:
            terminal.read(30)
        again.files.list()
    said = caplog.text + repr(again) + repr(vars(again)) + repr(vars(again._keeper))
    for secret in (again._keeper.session.token.text, again.reconnect_code):
        assert secret not in said
    again.close()


def test_a_seat_without_a_machine_says_what_to_do(seat: Seat, client: Client) -> None:
    made = client.workshops.create("Not yet", 1, runtime="container")
    early = client.join(made.code)
    empty = replace(early._keeper.session.direct, terminal="", files="", exec="")
    early._keeper.session = replace(early._keeper.session, direct=empty, gateway=empty)
    with pytest.raises(UnavailableError, match="wait_ready"):
        early.run("true")
    made.delete().wait_deleted()
