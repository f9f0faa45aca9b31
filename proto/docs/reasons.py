"""The reasons that the programs give, beside those that the schema tells of."""

from __future__ import annotations

import re
from pathlib import Path

from markdown import REASONS
from schema import File

# A reason stands behind a status, or as what one of these is called with.
_GIVEN = re.compile(
    r"""(?:\b(?:Status)?Code::\w+\s*,|Refusal::bad\(|for_now\(|\bstate\(|\breason:
    |StatusCode::\w+\s*=>\s*\(|_\s*=>\s*\(|\bno(?:t_now)?\(\s*StatusCode::\w+\s*,|Refusal::new\(status,
    |let\ bad\ =\ \|what:\ &str\|\ Refusal::bad\()\s*"([A-Z][A-Z_]+)\"""",
    re.VERBOSE,
)
_ROOMS = ("server/src", "agent/src", "guest/src")


def faults(files: list[File], top: Path) -> list[str]:
    """Reasons that are given and not told of, and those that nothing gives."""
    enums = (item for file in files for item in file.enums)
    listed = next(item for item in enums if item.name == REASONS)
    told = {part.name for part in listed.parts if part.raw.get("number", 0) != 0}
    given: dict[str, Path] = {}
    for room in _ROOMS:
        for source in sorted((top / room).rglob("*.rs")):
            for found in _GIVEN.findall(source.read_text()):
                given.setdefault(found, source.relative_to(top))
    missing = (
        f"{given[word]} gives {word}, which ErrorReason does not list"
        for word in given.keys() - told
    )
    idle = (f"nothing gives {word}, which ErrorReason lists" for word in told - given.keys())
    return sorted([*missing, *idle])
