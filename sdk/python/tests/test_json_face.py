"""The JSON face does as every client, and as its description says."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import httpx
import jsonschema
import pytest
from described import METHODS, Described
from kit import KIT, Act, RefusedError, cases, lacking, tell

if TYPE_CHECKING:
    from conftest import Server

ROUTES = KIT.parents[1] / "server/src/api/rest.rs"


class JsonFace:
    """The acts of the kit, by HTTP and JSON."""

    name = "json"

    def __init__(self, described: Described, token: str) -> None:
        self._described = described
        self._token = token
        one, all_ = "/api/workshops/{id}", "/api/workshops"
        self.acts: Mapping[str, Act] = {
            "create": self._act("post", all_),
            "list": self._act("get", all_),
            "get": self._act("get", one),
            "update": self._act("patch", one),
            "delete": self._act("delete", one),
            "wait": self._wait,
            "join": self._join,
            "costs": self._costs,
        }

    def _act(self, method: str, path: str) -> Act:
        async def act(given: Mapping[str, Any], token: str | None, keep: str | None) -> Any:
            return self._ask(method, path, given, self._token if token is None else token)

        return act

    def _ask(
        self,
        method: str,
        path: str,
        given: Mapping[str, Any],
        token: str | None,
        query: Mapping[str, Any] | None = None,
    ) -> Any:
        body = {name: value for name, value in given.items() if name != "id"}
        answer = self._described.ask(
            method, path, token=token, id=given.get("id", ""), body=body or None, query=query
        )
        if answer.is_success:
            return answer.json()
        error = answer.json()["error"]
        fields = [wrong["field"] for wrong in error["fields"]]
        raise RefusedError(error["reason"], fields, {"http": answer.status_code})

    async def _wait(self, given: Mapping[str, Any], token: str | None, keep: str | None) -> Any:
        until = time.monotonic() + 100
        while time.monotonic() < until:
            seen = self._ask("get", "/api/workshops/{id}", {"id": given["id"]}, self._token)
            if seen["status"] == given["status"]:
                return seen
            time.sleep(0.05)
        pytest.fail(f"it is not {given['status']} but {seen}")

    async def _costs(self, given: Mapping[str, Any], token: str | None, keep: str | None) -> Any:
        return self._ask("get", "/api/costs", {}, self._token, given)

    async def _join(self, given: Mapping[str, Any], token: str | None, keep: str | None) -> Any:
        asked = {"display_name" if name == "name" else name: said for name, said in given.items()}
        return self._ask("post", "/api/join", asked, None)


@pytest.fixture(scope="module")
def described(server: Server) -> Iterator[Described]:
    """One for all cases, so that at the end everything was asked."""
    client = Described(server.url)
    yield client
    client.close()


@pytest.mark.parametrize("case", cases("json"))
async def test_a_case_by_json(case: dict[str, Any], described: Described, server: Server) -> None:
    await tell(case, JsonFace(described, server.token))


def test_only_what_it_lacks_is_left_out(described: Described, server: Server) -> None:
    assert all(acts for _, acts in lacking(JsonFace(described, server.token)))


def test_every_operation_that_is_described_was_answered(described: Described) -> None:
    described.ask("get", "/api/health", token=None)
    assert described.openapi["openapi"] == "3.1.0"
    assert described.operations - described.seen == set()


@pytest.mark.skipif(not ROUTES.exists(), reason="needs the repository")
def test_every_route_is_described(described: Described) -> None:
    routes = set(re.findall(r'\.route\("(/[^"*]+)"', ROUTES.read_text()))
    assert routes == set(described.openapi["paths"])
    for path in routes:
        for method in METHODS:
            known = described.bare(method, path).status_code != httpx.codes.METHOD_NOT_ALLOWED
            assert known == ((path, method) in described.operations), f"{method} {path}"


def test_what_is_not_as_described_is_seen(described: Described, server: Server) -> None:
    health = described._strict["components"]["schemas"]["Health"]
    held = health["properties"].pop("version")
    with pytest.raises(jsonschema.ValidationError):
        described.ask("get", "/api/health", token=None)
    health["properties"]["version"] = held
