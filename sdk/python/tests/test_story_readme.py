"""The examples of the README and of the docstrings, against a live server."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import doctest
import importlib
import inspect
import io
import pkgutil
import re
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import clarateach
from clarateach import AsyncClient, AsyncSeat, Client, Seat, Workshop

if TYPE_CHECKING:
    from conftest import Server

README = Path(__file__).parent.parent / "README.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.M | re.S)
ALL = [
    found.name
    for found in pkgutil.walk_packages(clarateach.__path__, "clarateach.")
    if "_generated" not in found.name
]
MODULES = [name for name in ALL if "_async" not in name]


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


async def said(example: doctest.Example, names: dict[str, Any]) -> str:
    """What an example prints that may wait, as in asyncio's own console."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(example.source, "<example>", "single", flags=flags)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        made = types.FunctionType(code, names)()
        if inspect.iscoroutine(made):
            await made
    return printed.getvalue()


@pytest.mark.parametrize("name", [name for name in ALL if "_async." in name])
async def test_examples_of_the_asyncio_layer_hold(
    name: str, server: Server, aclient: AsyncClient, workshop: Workshop, aseat: AsyncSeat
) -> None:
    module = importlib.import_module(name)
    names = {
        **vars(module),
        "url": server.url,
        "token_file": server.token_file,
        "client": aclient,
        "workshop": await aclient.workshops.get(workshop.id),
        "seat": aseat,
    }
    await aseat.files.delete("listed", missing_ok=True)
    checker = doctest.OutputChecker()
    for test in doctest.DocTestFinder().find(module, name, globs=names):
        for example in test.examples:
            flags = sum(flag for flag, on in example.options.items() if on)
            given = await said(example, test.globs)
            assert checker.check_output(example.want, given, flags), (example.source, given)
