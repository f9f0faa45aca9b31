"""Makes the threaded layer out of the asyncio one, by rewriting tokens.

Way: each file of the one folder -> tokens, words exchanged -> `ruff format` ->
a file of the same name in the other. `_runtime.py` is where the two differ for
real: the asyncio folder holds both, and each takes its own.

Usage: unasync.py ASYNC_FOLDER SYNC_FOLDER
"""

import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

WORDS = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "AsyncIterator": "Iterator",
    "AsyncGenerator": "Generator",
    "AsyncIterable": "Iterable",
    "Awaitable": "_Now",
    "StopAsyncIteration": "StopIteration",
    "aclose": "close",
    "aiter_bytes": "iter_bytes",
    "aiter_lines": "iter_lines",
    "aread": "read",
    "_async": "_sync",
}
HEADER = "# Made by generate.sh from {origin}: edit that one.\n"
PAIRED = "_runtime.py"
TWIN = "_threads.py"


def word(name: str) -> str:
    """What a name is called in the threaded layer."""
    if name.startswith("Async") and name not in WORDS:
        return name.removeprefix("Async")
    return WORDS.get(name, name)


def prose(text: str) -> str:
    """A docstring or another string, with its examples rewritten."""
    text = re.sub(r"\b(await|async) ", "", text)
    return re.sub(r"\b(?:[A-Za-z_]+)\b", lambda found: word(found.group()), text)


def rewrite(source: str) -> str:
    """The same code without waiting for anything."""
    out: list[tuple[int, str]] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
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
        if file.name == TWIN:
            continue
        source = origin / TWIN if file.name == PAIRED else file
        text = source.read_text()
        if source == file:
            text = rewrite(text)
        shown = f"_async/{source.name}"
        (target / file.name).write_text(HEADER.format(origin=shown) + text)
    config = Path(__file__).resolve().parent.parent / "pyproject.toml"
    ruff = [sys.executable, "-m", "ruff"]
    for act in (["check", "--quiet", "--fix-only", "--select", "I"], ["format", "--quiet"]):
        subprocess.run([*ruff, *act, "--config", str(config), str(target)], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
