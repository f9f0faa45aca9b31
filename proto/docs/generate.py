#!/usr/bin/env python3
"""Makes what of the docs comes from the schema.

Usage: generate.py [--check] [BUF]    --check changes nothing, and fails when what is
                                      committed is not current

Way: `buf build` -> every item with its comment -> docs/api.md and the OpenAPI description
of the JSON face. Reasons that the programs give and the schema does not list fail it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import markdown
import openapi
import reasons
import schema

TOP = Path(__file__).resolve().parents[2]


def main(given: list[str]) -> int:
    """Makes or checks everything; 1 when something is not as it must be."""
    check = "--check" in given
    named = [one for one in given if not one.startswith("-")]
    files = schema.read(named[0] if named else "buf", TOP / "proto")
    faults = reasons.faults(files, TOP)
    made = {
        "docs/api.md": markdown.page(files),
        "server/src/api/openapi.json": openapi.text(files),
    }
    for name, text in made.items():
        path = TOP / name
        if path.exists() and path.read_text() == text:
            continue
        if check:
            faults.append(
                f"{name} is not current: run proto/docs/generate.py and commit what it makes"
            )
        else:
            path.write_text(text)
    for fault in faults:
        print(fault, file=sys.stderr)
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
