"""What an instructor does in a learner's seat: looks on, helps, keeps the work."""

from __future__ import annotations

from pathlib import Path

import pytest

from clarateach import (
    AsyncClient,
    AuthError,
    Client,
    ConflictError,
    InvalidError,
    NotFoundError,
    Seat,
    TerminalEvent,
    Workshop,
)


@pytest.fixture(scope="module")
def seat(client: Client, workshop: Workshop) -> Seat:
    """Another learner: a seat has eight terminals at most."""
    return client.join(workshop.code, name="visited").wait_ready()


def test_an_observer_sees_and_types_nothing(workshop: Workshop, seat: Seat) -> None:
    events: list[TerminalEvent] = []
    with seat.terminal("watched", on_event=events.append) as own:
        own.write("echo s''een\n")
        own.read_until("seen")
        with workshop.observe_seat(seat.number) as observer:
            with observer.terminal("watched") as view:
                view.read_until("seen")
                view.write("echo ty''ped\n")
                own.write("echo aft''er\n")
                assert b"typed" not in view.read_until("after")
            with pytest.raises(NotFoundError) as none, observer.terminal("none"):
                pass
            assert none.value.reason == "NO_SUCH_TERMINAL"
        own.read_until("after")
    assert any(event.kind == "viewers" and event.detail.get("n") == 2 for event in events)


def test_a_helper_types_once_the_learner_consents(workshop: Workshop, seat: Seat) -> None:
    viewers: list[str] = []

    def note(event: TerminalEvent) -> None:
        if event.kind == "viewers":
            there = event.detail.get("watching")
            assert isinstance(there, list)
            viewers.extend(str(one["viewer"]) for one in there)

    with (
        seat.terminal("helped", on_event=note) as own,
        workshop.observe_seat(seat.number, "assist") as helper,
        helper.terminal("helped") as view,
    ):
        while not viewers:
            own.write("echo\n")
            own.read()
        own.consent(viewers[0], allow=True)
        own.write("echo con''sented\n")
        own.read_until("consented")
        view.read_until("consented")
        view.write("echo hel''ped\n")
        own.read_until("helped\r\n")


async def test_work_is_collected_and_not_changed(
    aclient: AsyncClient, workshop: Workshop, seat: Seat, tmp_path: Path
) -> None:
    seat.files.mkdir("kept/deep")
    seat.files.write("kept/deep/work.txt", "done")
    mine = await aclient.workshops.get(workshop.id)
    async with await mine.collect_seat(seat.number) as work:
        got = await work.files.download("kept", tmp_path / "kept")
        assert (got.files, (tmp_path / "kept/deep/work.txt").read_text()) == (1, "done")
        with pytest.raises(AuthError) as refused:
            await work.files.write("kept/more", b"")
        assert refused.value.reason == "READ_ONLY"


def test_seats_that_cannot_be_visited(client: Client, workshop: Workshop) -> None:
    with pytest.raises(InvalidError):
        workshop.observe_seat(1, "drive")
    with pytest.raises(InvalidError):
        workshop.collect_seat(1, route="tunnel")  # type: ignore[arg-type]
    with pytest.raises(NotFoundError) as unknown:
        workshop.observe_seat(99)
    assert unknown.value.reason == "SEAT_UNKNOWN"
    with pytest.raises(ConflictError) as free:
        workshop.observe_seat(workshop.seats)
    assert free.value.reason == "SEAT_FREE"
