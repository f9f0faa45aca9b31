"""The schema with its comments, as `buf build -o -#format=json` tells it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Numbers of descriptor.proto: where a file, a message, an enum or a service keeps its parts.
_MESSAGES, _ENUMS, _SERVICES = 4, 5, 6
_FIELDS, _NESTED, _NESTED_ENUMS, _VALUES, _METHODS = 2, 3, 4, 2, 2
_PACKAGE = 2


@dataclass
class Item:
    """Anything that has a name and a comment."""

    name: str
    comment: str
    raw: dict[str, Any]
    parts: list[Item] = field(default_factory=list)
    """Fields, values or calls, in the order of the file."""


@dataclass
class File:
    """One file: what it is about, and all it holds, nested things beside their holders."""

    path: str
    package: str
    comment: str
    services: list[Item]
    messages: list[Item]
    enums: list[Item]


def _prose(text: str) -> str:
    return " ".join(line.strip() for line in text.strip().splitlines())


class _Reader:
    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw
        places = raw["sourceCodeInfo"]["location"]
        self._comments = {tuple(p.get("path", ())): p.get("leadingComments", "") for p in places}
        # The file's own comment stands above its first statement.
        self.about = self._comments.get((12,), "") or self._comments.get((_PACKAGE,), "")

    def item(
        self, raw: dict[str, Any], path: tuple[int, ...], holder: str, parts: str, number: int
    ) -> Item:
        made = Item(holder + raw["name"], _prose(self._comments.get(path, "")), raw)
        for at, part in enumerate(raw.get(parts, ())):
            where = (*path, number, at)
            made.parts.append(Item(part["name"], _prose(self._comments.get(where, "")), part))
        return made

    def enums(
        self, raws: list[dict[str, Any]], path: tuple[int, ...], holder: str
    ) -> Iterator[Item]:
        for at, raw in enumerate(raws):
            yield self.item(raw, (*path, at), holder, "value", _VALUES)

    def messages(
        self, raws: list[dict[str, Any]], path: tuple[int, ...], holder: str
    ) -> Iterator[tuple[list[Item], list[Item]]]:
        for at, raw in enumerate(raws):
            if raw.get("options", {}).get("mapEntry"):
                continue
            here, inside = (*path, at), f"{holder}{raw['name']}."
            one = self.item(raw, here, holder, "field", _FIELDS)
            yield [one], list(self.enums(raw.get("enumType", []), (*here, _NESTED_ENUMS), inside))
            yield from self.messages(raw.get("nestedType", []), (*here, _NESTED), inside)

    def file(self) -> File:
        raw, messages, enums = self.raw, [], []
        for some, more in self.messages(raw.get("messageType", []), (_MESSAGES,), ""):
            messages += some
            enums += more
        enums += self.enums(raw.get("enumType", []), (_ENUMS,), "")
        services = [
            self.item(one, (_SERVICES, at), "", "method", _METHODS)
            for at, one in enumerate(raw.get("service", []))
        ]
        return File(raw["name"], raw["package"], _prose(self.about), services, messages, enums)


def read(buf: str, proto: Path) -> list[File]:
    """Every file of ours below `proto`."""
    said = subprocess.run(
        [buf, "build", "-o", "-#format=json"], cwd=proto, check=True, capture_output=True
    )
    image = json.loads(said.stdout)
    files = (raw for raw in image["file"] if raw["name"].startswith("clarateach/"))
    return [_Reader(raw).file() for raw in files]
