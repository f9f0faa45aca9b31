"""The schema as one page for people."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from schema import File, Item

_HEAD = """\
# API

Made from the comments of the schema by `proto/docs/generate.py`: edit those. Who calls with
what is in the [README](../README.md), lines for `buf curl` in
[operators.md](operators.md), the JSON face in
[openapi.json](../server/src/api/openapi.json), which a server shows at `/openapi.json`.

Fields are never given another number or another meaning, and none goes: `scripts/test.sh`
holds the schema against the one that was last accepted (`proto/baseline.binpb`). What is
unknown to a client, a field, a value or a reason, is new: pass over it.
"""

# What clients speak comes first, then what is between our own programs.
_ORDER = ("clarateach.workshop.v1", "clarateach.agent.v1", "clarateach.guest.v1")
REASONS = "ErrorReason"


def _anchor(package: str, name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", f"{package.split('.')[1]}-{name}".lower())


class _Page:
    def __init__(self, files: list[File]) -> None:
        self._files = sorted(
            files, key=lambda file: (_ORDER.index(file.package), not file.services)
        )
        items = ((file, item) for file in files for item in (*file.messages, *file.enums))
        self._links = {
            f".{file.package}.{item.name}": _anchor(file.package, item.name) for file, item in items
        }

    def _kind(self, full: str) -> str:
        short = full.removeprefix(".google.protobuf.").rpartition(".v1.")[2]
        return f"[{short}](#{self._links[full]})" if full in self._links else short

    def _type(self, field: dict[str, str], holder: Item) -> str:
        for entry in holder.raw.get("nestedType", ()):
            if entry.get("options", {}).get("mapEntry") and field.get("typeName", "").endswith(
                "." + entry["name"]
            ):
                key, value = (self._type(part, holder) for part in entry["field"])
                return f"map of {key} to {value}"
        plain = field["type"].removeprefix("TYPE_").lower()
        kind = self._kind(field["typeName"]) if "typeName" in field else plain
        if field["label"] == "LABEL_REPEATED":
            return f"{kind}, repeated"
        return f"{kind}, optional" if field.get("proto3Optional") else kind

    def _title(self, file: File, item: Item, word: str) -> Iterator[str]:
        anchor = f'<a id="{_anchor(file.package, item.name)}"></a>'
        yield f"\n### {anchor}{word} {item.name}\n\n{item.comment}\n"

    def _table(self, head: str, rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
        if rows:
            yield f"\n| {head} |\n|{'---|' * len(rows[0])}\n"
        for row in rows:
            yield "| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |\n"

    def _service(self, file: File, item: Item) -> Iterator[str]:
        yield from self._title(file, item, "Service")
        rows = []
        for call in item.parts:
            answer = self._kind(call.raw["outputType"])
            stream = "stream of " if call.raw.get("serverStreaming") else ""
            rows.append(
                (f"`{call.name}`", self._kind(call.raw["inputType"]), stream + answer, call.comment)
            )
        yield from self._table("call | request | answer | what it does", rows)

    def _message(self, file: File, item: Item) -> Iterator[str]:
        yield from self._title(file, item, "Message")
        rows = [
            (f"`{part.name}`", str(part.raw["number"]), self._type(part.raw, item), part.comment)
            for part in item.parts
        ]
        yield from self._table("field | number | type | what it is", rows)

    def _enum(self, file: File, item: Item) -> Iterator[str]:
        yield from self._title(file, item, "Enum")
        rows = [
            (f"`{part.name}`", str(part.raw.get("number", 0)), part.comment) for part in item.parts
        ]
        yield from self._table("value | number | what it means", rows)

    def text(self) -> Iterator[str]:
        yield _HEAD
        told = ""
        for file in self._files:
            if file.package != told:
                yield f"\n## {file.package}\n"
            told = file.package
            yield f"\n{file.comment}\n"
            for service in file.services:
                yield from self._service(file, service)
            for message in file.messages:
                yield from self._message(file, message)
            for enum in file.enums:
                yield from self._enum(file, enum)


def page(files: list[File]) -> str:
    """All of it."""
    return "".join(_Page(files).text())
