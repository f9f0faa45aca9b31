"""The JSON face, each request and answer of it held against `/openapi.json`."""

from __future__ import annotations

import copy
from typing import Any

import httpx
import jsonschema

METHODS = ("get", "post", "put", "patch", "delete")


def closed(schema: Any) -> Any:
    """The same, but objects have no member that is not described: here none may be forgotten."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: closed(part) for name, part in schema.items()}
    if made.get("type") == "object" and isinstance(made.get("properties"), dict):
        made["additionalProperties"] = False
    return made


class Described:
    """A client that believes no answer which is not as described."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, trust_env=False, timeout=30)
        self.openapi = self._client.get("/openapi.json").raise_for_status().json()
        self._strict = closed(copy.deepcopy(self.openapi))
        self.seen: set[tuple[str, str]] = set()
        """Operations that were answered as wanted."""

    @property
    def operations(self) -> set[tuple[str, str]]:
        """All that are described, as path and method."""
        paths = self.openapi["paths"].items()
        return {(path, method) for path, item in paths for method in item if method in METHODS}

    def ask(
        self,
        method: str,
        path: str,
        *,
        token: str | None,
        id: str = "",
        body: Any = None,
        query: Any = None,
    ) -> httpx.Response:
        """One request. Whatever comes back is as described."""
        headers = {"authorization": f"Bearer {token}"} if token is not None else {}
        where = path.replace("{id}", id)
        answer = self._client.request(
            method.upper(), where, headers=headers, json=body, params=query
        )
        operation = self._strict["paths"][path][method]
        known = {one["name"] for one in operation.get("parameters", ())}
        assert set(query or ()) <= known, f"{method} {path}: {query} is not described"
        described = operation["responses"].get(str(answer.status_code))
        if described is None:
            assert answer.is_error, f"{method} {path}: {answer.status_code} is not described"
            described = operation["responses"]["default"]
        else:
            self.seen.add((path, method))
            if body is not None:
                self._holds(operation["requestBody"], body)
        self._holds(described, answer.json())
        return answer

    def bare(self, method: str, path: str) -> httpx.Response:
        """A request that need not be described."""
        return self._client.request(method.upper(), path.replace("{id}", "ws-0000000000"))

    def _holds(self, described: Any, value: Any) -> None:
        schema = described["content"]["application/json"]["schema"]
        whole = {**schema, "components": self._strict["components"]}
        checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
        jsonschema.Draft202012Validator(whole, format_checker=checker).validate(value)

    def close(self) -> None:
        """Ends its connections."""
        self._client.close()
