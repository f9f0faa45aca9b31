"""Where a reader of a terminal stands, frame by frame."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

import pytest

from clarateach import AuthError, InvalidError, NotFoundError, ServerError, TerminalEvent
from clarateach._terminal_wire import ACK_EVERY, Next, Place, after_close, resize


def frame(kind: str, **said: object) -> str:
    """A control frame."""
    return json.dumps({"type": kind, **said})


def attached(place: Place, offset: int, instance: str = "i1") -> TerminalEvent | None:
    """As the server says it first."""
    return place.text(frame("attached", instance=instance, offset=offset, terminal="main"))


def test_output_is_counted_and_paintings_are_not() -> None:
    place = Place("main", 80, 24)
    assert "offset" not in place.query()
    assert attached(place, 100) is None
    assert place.text(frame("repaint", offset=100, bytes=5, lost=0)) is None
    place.data(b"abc")
    place.data(b"deXY")
    assert place.offset == 102
    assert [place.before(kept) for kept in (0, 1, 2, 7)] == [102, 101, 100, 100]
    asked = parse_qs(place.query())
    assert (asked["offset"], asked["instance"]) == (["102"], ["i1"])


def test_a_socket_that_follows_goes_on_at_the_byte() -> None:
    place = Place("main", 80, 24)
    attached(place, 0)
    place.data(b"12345")
    place.reopen()
    again = attached(place, 5)
    assert again is not None
    assert again.kind == "reconnected"
    place.data(b"6")
    assert place.offset == 6


def test_what_is_read_is_live_once_the_replay_is_over() -> None:
    place = Place("main", 80, 24)
    attached(place, 10)
    place.text(frame("repaint", offset=10, bytes=3, lost=0))
    assert not place.live
    place.text(frame("live"))
    place.text(frame("viewers", n=2))
    assert place.live
    attached(place, 10)
    assert not place.live


def test_half_a_painting_is_painted_again() -> None:
    place = Place("main", 80, 24)
    attached(place, 10)
    place.text(frame("repaint", offset=10, bytes=100, lost=0))
    place.data(b"x" * 40)
    place.reopen()
    assert "offset" not in place.query()


def test_what_is_lost_or_new_is_an_event() -> None:
    place = Place("main", 80, 24)
    attached(place, 10)
    assert place.text(frame("repaint", offset=99, bytes=0, lost=17)) == TerminalEvent(
        "lost", {"bytes": 17}
    )
    assert place.text(frame("restarted")) == TerminalEvent("restarted", {})
    assert place.offset == 0
    assert place.text(frame("viewers", n=2)) == TerminalEvent("viewers", {"n": 2})
    assert place.text(frame("error", reason="bad_resize")) == TerminalEvent(
        "refused", {"reason": "bad_resize"}
    )
    assert place.text(frame("of-a-later-version")) is None
    assert place.text(frame("exit", code=3)) is None
    assert place.exit_code == 3


@pytest.mark.parametrize("text", ["", "ls", "[]", "{}", '{"type":"attached"}', '{"type":"exit"}'])
def test_a_frame_that_is_none_is_an_error_of_ours(text: str) -> None:
    with pytest.raises(ServerError):
        Place("main", 80, 24).text(text)


def test_much_output_is_acknowledged() -> None:
    place = Place("main", 80, 24)
    attached(place, 7)
    place.data(b"x" * (ACK_EVERY - 1))
    assert place.ack() is None
    place.data(b"x")
    assert json.loads(place.ack() or "") == {"type": "ack", "offset": ACK_EVERY + 7}
    assert place.ack() is None


@pytest.mark.parametrize(
    ("code", "follows"),
    [
        (1000, Next.END),
        (1006, Next.AGAIN),
        (1012, Next.AGAIN),
        (1013, Next.AGAIN),
        (4401, Next.RENEW),
        (4409, Next.RENEW),
    ],
)
def test_a_close_says_what_follows(code: int, follows: Next) -> None:
    assert after_close(code) is follows


def test_some_closes_only_people_can_mend() -> None:
    with pytest.raises(AuthError):
        after_close(4403)
    for code in (4404, 4410):
        with pytest.raises(NotFoundError):
            after_close(code)
    with pytest.raises(ServerError):
        after_close(1009)


def test_sizes_and_names_are_checked_here() -> None:
    assert json.loads(resize(120, 40)) == {"type": "resize", "cols": 120, "rows": 40}
    for cols, rows in ((1, 24), (501, 24), (80, 0), (80, 301)):
        with pytest.raises(InvalidError):
            resize(cols, rows)
    for name in ("", "A", "a/b", "x" * 33, "a\n"):
        with pytest.raises(InvalidError):
            Place(name, 80, 24)
