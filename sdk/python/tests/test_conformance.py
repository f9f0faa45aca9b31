"""Every client does the same: the cases of `sdk/conformance`, by both layers."""

from __future__ import annotations

import inspect
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from acts import SdkFace
from kit import KIT, cases, tell

import clarateach

if TYPE_CHECKING:
    from conftest import Server


@pytest.mark.parametrize("layer", ["Client", "AsyncClient"])
@pytest.mark.parametrize("case", cases("python"))
async def test_a_case_by_this_package(case: dict[str, Any], layer: str, server: Server) -> None:
    face = SdkFace(getattr(clarateach, layer), server.url, server.token, server.data)
    try:
        await tell(case, face)
    finally:
        await face.close()


def members(kind: type) -> set[str]:
    """Public methods, properties and fields, without what Python's own errors have."""
    found = {name for name in dir(kind) if re.match("[a-z]", name)}
    found |= set(getattr(kind, "__dataclass_fields__", ()))
    for one in kind.__mro__:
        if one.__module__.startswith("clarateach"):
            # Fields that `__init__` sets.
            source = inspect.getsource(one)
            found |= set(re.findall(r"^        self\.([a-z]\w*)\b[^=\n(]*=", source, re.MULTILINE))
        elif issubclass(one, Exception):
            found -= set(dir(one))
    return found


@pytest.mark.skipif(not KIT.is_dir(), reason="needs the repository")
def test_names_are_those_of_both_packages() -> None:
    names = json.loads((KIT / "names.json").read_text())
    for name, listed in names["classes"].items():
        wanted = set(listed["both"]) | set(listed.get("python", ()))
        assert members(getattr(clarateach, name)) == wanted, name
    for name in names["errors"]:
        assert issubclass(getattr(clarateach, name), clarateach.ClarateachError)
    of_ours = {name for name in clarateach.__all__ if name.endswith("Error")}
    assert of_ours == {*names["errors"]}
