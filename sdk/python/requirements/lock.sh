#!/usr/bin/env bash
# Locks every package with its hashes: dev.txt and pytest.txt from what lies here, and
# newest.txt with what a user's `pip install clarateach` takes today. Needs uv.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

lock() {
  uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-emit-find-links \
    --no-emit-index-url --custom-compile-command requirements/lock.sh --upgrade "$1" --output-file "$2"
}

lock dev.in dev.txt
lock pytest.in pytest.txt
lock ../pyproject.toml newest.txt
