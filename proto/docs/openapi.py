"""The JSON face (`server/src/api/rest.rs`) as OpenAPI: bodies by the schema, routes by hand.

Answers have every member of their message; a wish has those that are said. Nothing here
closes an object: a newer server says more.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from markdown import REASONS
from schema import File, Item

Json = dict[str, Any]

_NUMBERS = {"TYPE_UINT32": 2**32 - 1, "TYPE_UINT64": 2**64 - 1}
_MOMENT: Json = {"type": ["string", "null"], "format": "date-time"}
_SPAN: Json = {
    "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "examples": ["90m", "4h"]}]
}
_SECONDS: Json = {"type": "integer", "minimum": 0, "title": "Seconds"}
# Members of messages that this face leaves out: the path says which workshop.
_LEFT_OUT = {"Seat": {"workshop_id"}, "UpdateWorkshopRequest": {"id"}}
_REQUIRED = {
    "CreateWorkshopRequest": ["name", "seats", "runtime"],
    "JoinWorkshopRequest": ["code"],
    "EgressPolicy": ["mode"],
}
_HEALTH: Json = {
    "type": "object",
    "description": "That the server answers.",
    "properties": {"status": {"const": "ok"}, "version": {"type": "string"}},
    "required": ["status", "version"],
}
_PAGE = (
    ("page_size", {"type": "integer"}),
    ("page_token", {"type": "string"}),
    ("show_deleted", {"type": "boolean"}),
)
_COSTS = (("workshop_ids", {"type": "array", "items": {"type": "string"}}),)
_QUERIES = {"ListWorkshops": _PAGE, "GetCosts": _COSTS}
_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}


class _Face:
    def __init__(self, files: Iterable[File]) -> None:
        ours = [file for file in files if file.package == "clarateach.workshop.v1"]
        self._messages = {item.name: item for file in ours for item in file.messages}
        self._enums = {item.name: item for file in ours for item in file.enums}
        self._calls = {c.name: c for file in ours for one in file.services for c in one.parts}
        self.schemas: Json = {"Health": _HEALTH, "Error": self._error()}

    def _error(self) -> Json:
        reasons = [part.name for part in self._enums[REASONS].parts[1:]]
        texts = ("field", "description")
        field = {
            "type": "object",
            "properties": {name: {"type": "string"} for name in texts},
            "required": texts,
        }
        properties = {
            "reason": {
                "type": "string",
                "description": self._enums[REASONS].comment,
                "examples": reasons,
            },
            "message": {"type": "string", "description": "For people: what, and what to do."},
            "fields": {"type": "array", "items": field},
            "retry_after_seconds": {
                "type": "integer",
                "description": "When it is worth trying again; 0 for never.",
            },
        }
        inner = {"type": "object", "properties": properties, "required": list(properties)}
        return {"type": "object", "properties": {"error": inner}, "required": ["error"]}

    def ref(self, name: str, wish: bool = False) -> Json:
        """Where the schema of a message is, made when it is first asked for."""
        title = name.removesuffix("Request") + "Wish" if wish else name.removesuffix("Response")
        if title not in self.schemas:
            self.schemas[title] = {}
            self.schemas[title].update(self._message(self._messages[name], wish))
        return {"$ref": f"#/components/schemas/{title}"}

    def _message(self, item: Item, wish: bool) -> Json:
        left_out = _LEFT_OUT.get(item.name, ())
        parts = [part for part in item.parts if part.name not in left_out]
        properties = {
            part.name: {**self._member(part, item, wish), "description": part.comment}
            for part in parts
        }
        required = _REQUIRED.get(item.name, []) if wish else list(properties)
        return {
            "type": "object",
            "description": item.comment,
            "properties": properties,
            "required": required,
        }

    def _member(self, part: Item, holder: Item, wish: bool) -> Json:
        kind = self._kind(part.raw, holder, wish)
        if part.raw["label"] == "LABEL_REPEATED" and kind.get("type") != "object":
            return {"type": "array", "items": kind}
        # A message that is not there is null.
        whole = "$ref" in kind and part.name != "resources"
        return {"anyOf": [kind, {"type": "null"}]} if whole and not wish else kind

    def _kind(self, raw: Json, holder: Item, wish: bool) -> Json:
        named = raw.get("typeName", "").removeprefix(".clarateach.workshop.v1.")
        if raw["type"] in _NUMBERS:
            return {"type": "integer", "minimum": 0, "maximum": _NUMBERS[raw["type"]]}
        if raw["type"] == "TYPE_BOOL":
            return {"type": "boolean"}
        if raw["type"] == "TYPE_STRING":
            return {"type": "string"}
        if named in self._enums:
            return {"type": "string", "enum": self._words(self._enums[named])}
        if named == ".google.protobuf.Timestamp":
            return _MOMENT
        if named == ".google.protobuf.Duration":
            return _SPAN if wish else _SECONDS
        if named not in self._messages:  # a map
            return {"type": "object", "additionalProperties": {"type": "string"}}
        return self.ref(named, wish)

    def _words(self, enum: Item) -> list[str]:
        zero, *values = (part.name for part in enum.parts)
        prefix = zero.removesuffix("UNSPECIFIED")
        return [value.removeprefix(prefix).lower() for value in values]

    def operation(
        self, name: str, status: str, answer: str, wish: str | None = None, free: bool = False
    ) -> Json:
        """One call of the schema as one of this face."""
        made: Json = {
            "operationId": name[0].lower() + name[1:],
            "summary": self._calls[name].comment,
        }
        if name in _QUERIES:
            comments = {part.name: part.comment for part in self._messages[f"{name}Request"].parts}
            made["parameters"] = [
                {"name": at, "in": "query", "description": comments[at], "schema": kind}
                for at, kind in _QUERIES[name]
            ]
        if wish:
            made["requestBody"] = {"required": True, "content": _json(self.ref(wish, wish=True))}
        made["responses"] = _answers(status, self.ref(answer))
        return {**made, "security": []} if free else made


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _answers(status: str, schema: Json) -> Json:
    error = {"description": "Refused", "content": _json({"$ref": "#/components/schemas/Error"})}
    return {status: {"description": "Done", "content": _json(schema)}, "default": error}


def text(files: list[File]) -> str:
    """The whole description."""
    face = _Face(files)
    call = face.operation
    health: Json = {
        "operationId": "health",
        "summary": "Whether the server answers.",
        "security": [],
    }
    health["responses"] = _answers("200", {"$ref": "#/components/schemas/Health"})
    paths = {
        "/api/workshops": {
            "get": call("ListWorkshops", "200", "ListWorkshopsResponse"),
            "post": call("CreateWorkshop", "201", "Workshop", "CreateWorkshopRequest"),
        },
        "/api/workshops/{id}": {
            "parameters": [_ID],
            "get": call("GetWorkshop", "200", "Workshop"),
            "patch": call("UpdateWorkshop", "200", "Workshop", "UpdateWorkshopRequest"),
            "delete": call("DeleteWorkshop", "202", "Workshop"),
        },
        "/api/costs": {"get": call("GetCosts", "200", "GetCostsResponse")},
        "/api/join": {
            "post": call(
                "JoinWorkshop", "200", "JoinWorkshopResponse", "JoinWorkshopRequest", free=True
            ),
        },
        "/api/health": {"get": health},
    }
    described = {
        "openapi": "3.1.0",
        "info": {
            "title": "ClaraTeach",
            "version": "1",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "The JSON face of the API; docs/api.md tells of all of it.",
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(face.schemas.items())),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "An API token."}
            },
        },
    }
    return json.dumps(described, indent=1, ensure_ascii=False) + "\n"
