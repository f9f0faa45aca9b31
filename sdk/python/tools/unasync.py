"""Makes the threaded layer out of the asyncio one, by rewriting tokens.

Way: each file of the one folder -> tokens, words exchanged -> `ruff format` ->
a file of the same name in the other. What differs for real is in the twins
`_tasks_async.py` and `_tasks_sync.py`, both written by hand.

Usage: unasync.py ASYNC_FOLDER SYNC_FOLDER
"""

import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

WORDS = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "AsyncIterator": "Iterator",
    "AsyncGenerator": "Generator",
    "AsyncIterable": "Iterable",
    "StopAsyncIteration": "StopIteration",
    "aclose": "close",
    "aiter_bytes": "iter_bytes",
    "aiter_lines": "iter_lines",
    "aread": "read",
    "aclosing": "closing",
    "asynccontextmanager": "contextmanager",
    "enter_async_context": "enter_context",
    "aiter_raw": "iter_raw",
    "_async": "_sync",
    "_tasks_async": "_tasks_sync",
    "SeatServiceAsyncStub": "SeatServiceStub",
    "TokenServiceAsyncStub": "TokenServiceStub",
    "WorkshopServiceAsyncStub": "WorkshopServiceStub",
}
HEADER = "# Made by generate.sh from {origin}: edit that one.\n"


def word(name: str) -> str:
    """What a name is called in the threaded layer."""
    if name.startswith("Async") and name not in WORDS:
        return name.removeprefix("Async")
    return WORDS.get(name, name)


def prose(text: str) -> str:
    """A docstring or another string, with its examples rewritten."""
    text = re.sub(r"\b(await|async) ", "", text)
    return re.sub(r"\b(?:[A-Za-z_]+)\b", lambda found: word(found.group()), text)


def _at_once(tokens: Iterable[tokenize.TokenInfo]) -> Iterator[tokenize.TokenInfo]:
    """`Awaitable[X]` is X: leaves out the word and its own brackets."""
    depth, left_out = 0, list[int]()
    for token, after in pairwise(tokens):
        if token.string == "Awaitable" and after.string == "[":
            left_out.append(depth)
            continue
        depth -= token.string == "]"
        if token.string not in ("[", "]") or depth not in left_out:
            yield token
        elif token.string == "]":
            left_out.remove(depth)
        depth += token.string == "["


def rewrite(source: str) -> str:
    """The same code without waiting for anything."""
    out: list[tuple[int, str]] = []
    for token in _at_once(tokenize.generate_tokens(io.StringIO(source).readline)):
        if token.type == tokenize.NAME and token.string in ("async", "await"):
            continue
        text = token.string
        if token.type == tokenize.NAME:
            text = word(text)
        elif token.type in (tokenize.STRING, tokenize.COMMENT):
            text = prose(text)
        out.append((token.type, text))
    return tokenize.untokenize(out)


def main(origin: Path, target: Path) -> None:
    """Rewrites every file of `origin` into `target`."""
    for file in sorted(origin.glob("*.py")):
        text = rewrite(file.read_text())
        (target / file.name).write_text(HEADER.format(origin=f"_async/{file.name}") + text)
    config = Path(__file__).resolve().parent.parent / "pyproject.toml"
    ruff = [sys.executable, "-m", "ruff"]
    tidy = ["check", "--quiet", "--fix-only", "--select"]
    for act in ([*tidy, "F401"], ["format", "--quiet"], [*tidy, "I"]):
        subprocess.run([*ruff, *act, "--config", str(config), str(target)], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
