#!/usr/bin/env bash
# Makes what of the package is generated, and what is committed: the messages
# and stubs from the schema, and the threaded layer from the asyncio one.
#
# Usage: generate.sh [--check]     --check changes nothing, and fails when what
#                                  is committed is not current
# The Python of requirements/dev.txt is $PYTHON, or `python3` when not said.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly PYTHON=${PYTHON:-python3}
readonly SCHEMA=clarateach/workshop/v1/workshop.proto
readonly GENERATED=src/clarateach/_generated SYNC=src/clarateach/_sync

# Usage: stubs DIR: as the schema says it, importable within our package
stubs() {
  local made=$1/raw file
  mkdir -p "$made"
  # The plugins lie beside the interpreter, on no path.
  PATH=$(dirname "$(command -v "$PYTHON")"):$PATH "$PYTHON" -m grpc_tools.protoc -I ../../proto \
    --python_out="$made" --grpc_python_out="$made" --mypy_out=quiet:"$made" --mypy_grpc_out=quiet:"$made" \
    "$SCHEMA"
  for file in "$made/$(dirname "$SCHEMA")"/*; do
    # Ours is a package of that name already: nothing may lie at clarateach.workshop.
    sed 's/^from clarateach\.workshop\.v1 import/from clarateach._generated import/' "$file" \
      > "$1/$(basename "$file")"
  done
  rm -r "$made"
  printf '"""Made by generate.sh from the schema: never edited, no part of the interface."""\n' > "$1/__init__.py"
}

# Usage: current MADE COMMITTED: same files, same content
current() {
  diff -ru --exclude=__pycache__ "$2" "$1" && return
  echo "$2 is not current: run sdk/python/generate.sh and commit what it makes" >&2
  return 1
}

made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
mkdir "$made/generated" "$made/sync"
stubs "$made/generated"
"$PYTHON" tools/unasync.py src/clarateach/_async "$made/sync"
if [[ ${1-} == --check ]]; then
  current "$made/generated" "$GENERATED"
  current "$made/sync" "$SYNC"
  exit
fi
[[ $# == 0 ]] || { echo "Usage: generate.sh [--check]" >&2; exit 2; }
rm -rf "$GENERATED" "$SYNC"
cp -r "$made/generated" "$GENERATED"
cp -r "$made/sync" "$SYNC"
