"""An instructor's day, and all that is refused on it."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cutter import Cutter

from clarateach import (
    AsyncClient,
    AuthError,
    CertificateError,
    Client,
    ConflictError,
    Egress,
    EgressMode,
    ExhaustedError,
    InvalidError,
    NotFoundError,
    Progress,
    Seat,
    SeatState,
    UnavailableError,
    Workshop,
    WorkshopFailedError,
    WorkshopStatus,
)

if TYPE_CHECKING:
    from conftest import Server


def test_a_workshop_from_wish_to_deletion(client: Client) -> None:
    seen: list[Progress] = []
    made = client.workshops.create(
        "From wish to deletion",
        1,
        runtime="container",
        ttl=timedelta(hours=1),
        env={"SUBJECT": "whales"},
        egress=Egress(EgressMode.NONE),
    )
    made.wait_running(seen.append)
    assert seen[-1].status is WorkshopStatus.RUNNING
    assert seen[-1].seats_ready == 1
    assert made.info.egress.mode is EgressMode.NONE
    assert made.info.env_names == ("SUBJECT",)
    with client.join(made.code, name="Ahab") as seat:
        assert seat.run("echo $SUBJECT").output == "whales\n"
        assert made.refresh().seat_list[0].learner == "Ahab"
        with pytest.raises(ExhaustedError) as full:
            client.join(made.code, name="Ishmael")
        assert full.value.reason == "SEATS_EXHAUSTED"
    made.revoke_seat(1)
    for change in made.watch():  # free only when its machine is fresh
        (one,) = change.workshop.seat_list
        if not one.taken and one.state is SeatState.READY:
            break
    with client.join(made.code, name="Ishmael") as seat:
        assert seat.number == 1
        made.reset_seat(1)
    made.delete()
    with pytest.raises(WorkshopFailedError) as over:
        made.wait_running()
    assert over.value.workshop is not None
    assert over.value.workshop.id == made.id
    made.delete().wait_deleted()
    assert made.status is WorkshopStatus.DELETED
    with pytest.raises(NotFoundError) as unknown:
        client.join(made.code)
    assert unknown.value.reason == "CODE_UNKNOWN"
    assert made.id in [one.id for one in client.workshops.list(show_deleted=True)]


def test_stop_and_start_keep_a_seat_and_its_files(client: Client) -> None:
    made = client.workshops.create("Stop and start", 1, runtime="container").wait_running()
    with client.join(made.code) as seat:
        seat.files.write("kept", b"1")
        made.stop().wait_stopped()
        with pytest.raises(ConflictError) as stopped:
            client.join(made.code)
        assert stopped.value.reason == "NOT_RUNNING"
        made.start().wait_running()
        # The worker has another address now: found without being told.
        assert seat.wait_ready().files.read("kept") == b"1"
    made.delete().wait_deleted()


def test_a_wall_of_screens_shows_what_a_seat_shows(client: Client) -> None:
    made = client.workshops.create("Wall", 1, runtime="container").wait_running()
    with client.join(made.code) as seat, seat.terminal() as terminal:
        terminal.write("echo a-pear-tree\r")
        for picture in made.watch_previews():
            if "a-pear-tree" in picture.lines:
                assert picture.seat == 1
                assert picture.changed_at is not None
                assert picture.terminals == ("main",)
                break
    made.delete().wait_deleted()


def test_an_estimate_says_workers_and_price(client: Client) -> None:
    estimate = client.workshops.estimate_cost(1, runtime="container", ttl=timedelta(hours=1))
    assert (estimate.workers, estimate.total_usd) == (1, 0)
    with pytest.raises(InvalidError) as none:
        client.workshops.estimate_cost(0, runtime="container")
    assert none.value.fields[0].field == "seats"


def test_costs_are_told_by_workshop(client: Client, workshop: Workshop) -> None:
    cost = client.workshops.costs([workshop.id])[workshop.id]
    assert cost.worker_time > timedelta()
    assert cost.total_usd == 0
    assert cost.explanation
    with pytest.raises(NotFoundError):
        client.workshops.costs(["ws-0000000000"])
    with pytest.raises(InvalidError):
        client.workshops.costs([])


def test_joining_before_the_class_runs_waits(client: Client) -> None:
    made = client.workshops.create("Early", 1, runtime="container")
    with client.join(made.code) as seat:
        if seat.state is SeatState.WAITING:
            assert seat.wait_ready(timeout=timedelta(minutes=3)).state is SeatState.READY
        assert seat.run(["echo", "here"]).output == "here\n"
    made.delete().wait_deleted()


def test_pages_follow_each_other(client: Client, workshop: Workshop) -> None:
    first = client.workshops.page(page_size=1, show_deleted=True)
    assert len(first.workshops) == 1
    everything = [one.id for one in client.workshops.list(show_deleted=True)]
    assert workshop.id in everything
    assert len(everything) == len(set(everything))


def test_a_watch_outlives_its_connection(server: Server, cutter: Cutter, client: Client) -> None:
    made = client.workshops.create("Watched", 1, runtime="container").wait_running()
    with Client(cutter.url, token_file=server.token_file) as watcher:
        watched = watcher.workshops.get(made.id).watch()
        assert next(watched).workshop.status is WorkshopStatus.RUNNING
        cutter.go_away()
        made.update(name="Watched still")
        threading.Timer(0.3, cutter.come_back).start()
        assert any(change.workshop.name == "Watched still" for change in watched)
        made.delete()
        assert [change.workshop.status for change in watched][-1] is WorkshopStatus.DELETED


def test_a_seat_is_watched_by_its_learner(
    server: Server, cutter: Cutter, client: Client, workshop: Workshop, seat: Seat
) -> None:
    with Client(cutter.url) as learner:
        again = learner.join(workshop.code, reconnect_code=seat.reconnect_code)
        watched = again.watch()
        first = next(watched)
        assert (first.state, first.workshop_status.value) == (SeatState.READY, "running")
        cutter.cut()
        workshop.update(ttl=timedelta(hours=2))
        assert any(change.expires_at != first.expires_at for change in watched)
    assert isinstance(workshop.seat_log(seat.number), str)


async def test_a_watch_in_asyncio_ends_with_its_workshop(aclient: AsyncClient) -> None:
    made = await aclient.workshops.create("Watched", 1, runtime="container")
    await made.wait_running()
    seen = []
    async for change in made.watch():
        seen.append(change.workshop.status)
        if len(seen) == 1:
            await made.delete()
    assert seen[0] is WorkshopStatus.RUNNING
    assert seen[-1] is WorkshopStatus.DELETED


def test_what_is_wrong_with_a_wish_is_said_by_field(client: Client) -> None:
    with pytest.raises(InvalidError) as refused:
        client.workshops.create("", 0, runtime="container")
    assert {"name", "seats"} <= {bad.field for bad in refused.value.fields}
    for seats in (-1, 1 << 32):
        with pytest.raises(InvalidError):
            client.workshops.create("x", seats)
    with pytest.raises(InvalidError):
        client.workshops.create("x", 1, runtime="docker")
    with pytest.raises(InvalidError):
        client.workshops.create("x", 1, runtime="container", ttl=-1)
    with pytest.raises(NotFoundError):
        client.workshops.get("ws-0000000000")
    with pytest.raises((NotFoundError, InvalidError)):
        client.workshops.get("🐳")


async def test_a_wrong_token_opens_nothing(server: Server) -> None:
    with Client(server.url, "ct_wrong") as stranger:
        with pytest.raises(AuthError) as refused:
            list(stranger.workshops.list())
        assert refused.value.reason == "TOKEN_INVALID"
        assert "ct_wrong" not in str(refused.value)
    async with AsyncClient(server.url) as nobody:
        with pytest.raises(AuthError) as missing:
            await nobody.workshops.get("ws-0000000000")
    assert missing.value.reason == "TOKEN_MISSING"


async def test_a_server_that_is_away_is_said_to_be(server: Server, cutter: Cutter) -> None:
    cutter.go_away()
    with Client(cutter.url, "t") as client, pytest.raises(UnavailableError) as away:
        client.workshops.page()
    assert away.value.reason == "UNREACHABLE"
    assert str(cutter.port) in str(away.value)
    async with AsyncClient(cutter.url, "t") as aclient:
        with pytest.raises(UnavailableError):
            await aclient.join("AAAAA-AAAAA")


def test_tls_to_what_speaks_none_is_said_to_be(server: Server) -> None:
    secure = Client(server.url.replace("http:", "https:"), "t")
    with secure as client, pytest.raises(CertificateError, match="https://"):
        client.workshops.page()


def test_unknown_codes_are_refused_alike(client: Client) -> None:
    for code in ("", "AAAAA-AAAAA", "🐳", "x" * 1000):
        with pytest.raises((NotFoundError, InvalidError)):
            client.join(code)
    with pytest.raises(InvalidError):
        client.join("AAAAA-AAAAA", "n" * 65)
    with pytest.raises(InvalidError):
        client.join("AAAAA-AAAAA", route="tunnel")  # type: ignore[arg-type]
