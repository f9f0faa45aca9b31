"""Tells the cases of `sdk/conformance` with whatever can do their acts."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest

KIT = Path(__file__).resolve().parents[2] / "conformance"
REFERENCE = re.compile(r"\$\{([a-z_.]+)\}")


@dataclass
class RefusedError(Exception):
    """That a client was refused, as it tells it."""

    reason: str
    fields: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    """What this client has besides: `error`, `grpc` or `http`."""


Act = Callable[[Mapping[str, Any], str | None, str | None], Awaitable[Any]]
"""Given `with`, `as` and `keep`."""


class Face(Protocol):
    """A client, by its acts."""

    name: str
    acts: Mapping[str, Act]


def _listed() -> list[dict[str, Any]]:
    text = (KIT / "cases.json").read_text() if KIT.is_dir() else '{"cases": []}'
    listed: list[dict[str, Any]] = json.loads(text)["cases"]
    return listed


def cases(face: str) -> list[Any]:
    """Those that a face tells, as pytest takes them."""
    told = (case for case in _listed() if face not in case.get("not", ()))
    return [pytest.param(case, id=case["name"]) for case in told]


def lacking(face: Face) -> list[tuple[str, set[str]]]:
    """Cases that a face does not tell, with the acts of each that it has not."""
    left_out = (case for case in _listed() if face.name in case.get("not", ()))
    return [(case["name"], _acts(case) - face.acts.keys()) for case in left_out]


def _acts(case: dict[str, Any]) -> set[str]:
    return {step["do"] for step in case["steps"]}


class Known(dict[str, Any]):
    """What earlier steps kept."""

    def filled(self, value: Any) -> Any:
        """The same with every reference replaced."""
        if isinstance(value, dict):
            return {name: self.filled(part) for name, part in value.items()}
        if isinstance(value, list):
            return [self.filled(part) for part in value]
        if not isinstance(value, str):
            return value
        whole = REFERENCE.fullmatch(value)
        if whole:
            return self._at(whole[1])
        return REFERENCE.sub(lambda found: str(self._at(found[1])), value)

    def _at(self, path: str) -> Any:
        value: Any = self
        for name in path.split("."):
            value = value[name]
        return value


def check(wanted: Any, given: Any, where: str) -> None:
    """Fails where `given` is not as it must be."""
    if isinstance(wanted, dict) and "$like" in wanted:
        assert re.search(wanted["$like"], str(given)), f"{where}: {given!r} is not {wanted}"
    elif isinstance(wanted, dict) and "$has" in wanted:
        assert any(matches(wanted["$has"], one) for one in given), f"{where}: not in {given!r}"
    elif isinstance(wanted, dict):
        for name, part in wanted.items():
            assert name in given, f"{where}: {name} is missing in {given!r}"
            check(part, given[name], f"{where}.{name}")
    elif isinstance(wanted, list):
        assert len(wanted) == len(given), f"{where}: {given!r} is not {wanted!r}"
        for at, part in enumerate(wanted):
            check(part, given[at], f"{where}[{at}]")
    else:
        assert given == wanted, f"{where}: {given!r} is not {wanted!r}"


def matches(wanted: Any, given: Any) -> bool:
    """Whether it is as it must be."""
    try:
        check(wanted, given, "")
    except AssertionError:
        return False
    return True


async def tell(case: dict[str, Any], face: Face) -> None:
    """Tells one case."""
    assert not _acts(case) - face.acts.keys(), f"{face.name} lacks acts: say so in `not`"
    known = Known(run=secrets.token_hex(5))
    for number, step in enumerate(case["steps"], 1):
        where = f"step {number}, {step['do']}"
        act = face.acts[step["do"]]
        keep = step.get("keep")
        try:
            given = await act(
                known.filled(step.get("with", {})), known.filled(step.get("as")), keep
            )
        except RefusedError as refusal:
            if "refused" not in step:
                pytest.fail(f"{where}: refused: {refusal!r}")
            told = {"reason": refusal.reason, "fields": refusal.fields, **refusal.facts}
            wanted = {name: part for name, part in step["refused"].items() if name in told}
            check(wanted, told, where)
            continue
        assert "refused" not in step, f"{where}: not refused but {given!r}"
        check(known.filled(step.get("gives", {})), given, where)
        if keep is not None:
            known[keep] = given
