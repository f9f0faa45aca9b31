"""From start to first byte: `clarateach workshop list` beside `buf curl` for the same call.

Usage: start.py CLARATEACH BUF [PROTO]    programs, and the schema's folder: with it buf
                                          need not ask the server for the schema first

A live server is said by `CLARATEACH_URL` and `CLARATEACH_TOKEN_FILE`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from beside import beside

ROUNDS = 40
CALL = "clarateach.workshop.v1.WorkshopService/ListWorkshops"


def first_byte(command: list[str]) -> float:
    """Milliseconds until the command says something on stdout."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        said = running.stdout.read(1)
        took = time.perf_counter() - began
        running.stdout.read()
    assert said, f"{command} said nothing"
    assert running.returncode == 0, command
    return took * 1e3


def main(program: str, buf: str, proto: str | None = None) -> None:
    """Takes turns, so that both meet the same machine."""
    url = os.environ["CLARATEACH_URL"]
    token = Path(os.environ["CLARATEACH_TOKEN_FILE"]).read_text().strip()
    with tempfile.NamedTemporaryFile("w", suffix=".header") as header:
        header.write(f"Authorization: Bearer {token}\n")
        header.flush()
        ours = [program, "workshop", "list", "--output", "json"]
        peers = {"buf curl": [buf, "curl", "--protocol", "grpc", "--http2-prior-knowledge"]}
        if proto is not None:
            peers["buf curl --schema"] = [*peers["buf curl"], "--schema", proto]
        for name, peer in peers.items():
            peer += ["-H", f"@{header.name}", "--emit-defaults", f"{url}/{CALL}"]
            turns = [(first_byte(ours), first_byte(peer)) for _ in range(ROUNDS + 1)][1:]
            mine, theirs = zip(*turns, strict=True)
            beside(f"start to first byte, beside {name}", "ms", list(mine), list(theirs))
    size = Path(program).stat().st_size / (1 << 20)
    print(f"size of {Path(program).name}: {size:.1f} MiB (goal: at most 15)")


if __name__ == "__main__":
    main(*sys.argv[1:])
