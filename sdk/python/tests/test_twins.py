"""Both layers have the same names."""

from __future__ import annotations

import inspect

import pytest

import clarateach

PAIRS = [name for name in clarateach.__all__ if f"Async{name}" in clarateach.__all__]
DUNDER = {"__aenter__": "__enter__", "__aexit__": "__exit__", "__aiter__": "__iter__"}


def face(kind: type) -> dict[str, list[str]]:
    """Public methods with their parameters, by the name both layers share."""
    found = {}
    for name, member in inspect.getmembers(kind, inspect.isfunction):
        shared = DUNDER.get(name, {"aclose": "close"}.get(name, name))
        if not name.startswith("_") or name in DUNDER.keys() | DUNDER.values():
            found[shared] = list(inspect.signature(member).parameters)
    return found


@pytest.mark.parametrize("name", PAIRS)
def test_twins_have_one_face(name: str) -> None:
    assert len(PAIRS) == 10
    assert face(getattr(clarateach, name)) == face(getattr(clarateach, f"Async{name}"))


def test_all_that_is_named_is_there_and_documented() -> None:
    for name in clarateach.__all__:
        thing = getattr(clarateach, name)
        if inspect.isclass(thing):
            assert thing.__doc__
