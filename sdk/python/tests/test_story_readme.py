"""The examples of the README and of the docstrings, against a live server."""

from __future__ import annotations

import ast
import asyncio
import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import clarateach
from clarateach import Client, Seat, Workshop

if TYPE_CHECKING:
    from conftest import Server

README = Path(__file__).parent.parent / "README.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.M | re.S)
MODULES = [
    found.name
    for found in pkgutil.walk_packages(clarateach.__path__, "clarateach.")
    if "_async" not in found.name and "_generated" not in found.name
]


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_of_the_readme_runs(
    number: int, server: Server, workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("course").mkdir()
    Path("course/exercise.py").write_text("print(6 * 7)\n")
    monkeypatch.setenv("CLARATEACH_URL", server.url)
    source = EXAMPLES[number].replace("http://127.0.0.1:8080", server.url)
    names: dict[str, Any] = {"token": server.token, "code": workshop.code}
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    made = eval(compile(source, f"README example {number + 1}", "exec", flags=flags), names)
    if inspect.iscoroutine(made):
        asyncio.run(made)


def test_the_readme_has_its_ten_lines_in_both_ways() -> None:
    first = EXAMPLES[0].strip().splitlines()
    assert len(first) <= 10
    assert any("AsyncClient" in example for example in EXAMPLES)


@pytest.mark.parametrize("name", ["clarateach", *MODULES])
def test_examples_of_docstrings_hold(
    name: str, server: Server, client: Client, workshop: Workshop, seat: Seat
) -> None:
    module = importlib.import_module(name)
    shared = {
        **vars(module),
        "url": server.url,
        "token_file": server.token_file,
        "client": client,
        "workshop": workshop,
        "seat": seat,
    }
    seat.files.delete("listed", missing_ok=True)
    runner = doctest.DocTestRunner()
    failed: list[str] = []
    for test in doctest.DocTestFinder().find(module, name, globs=shared):
        runner.run(test, out=failed.append)
    assert not failed, "".join(failed)
