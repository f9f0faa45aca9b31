#!/usr/bin/env bash
# The figures of every client, each beside a peer in the same run. Nothing here passes or
# fails by speed.
#
# Way: release programs -> a server of its own -> the Python SDK beside its stub and rclone,
#      many terminals -> the TypeScript SDK beside its stub, what a page pays -> the command
#      line's start beside buf curl -> down.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/lib-clients.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib-clients.sh"

usage() {
  cat << HELP
Usage: scripts/bench-clients.sh [--no-build] [NAME…]

Without a name all of them: unary, upload, terminals (Python), node, bundle, start.

  --no-build   measure what is in \$BIN (default: \$CARGO_TARGET_DIR/release)
HELP
}

# Usage: wanted NAME
wanted() { ((${#names[@]} == 0)) || [[ " ${names[*]} " == *" $1 "* ]]; }

names=() build=1 whole=("$@")
while (($#)); do
  case $1 in
    --no-build) build= ;;
    -h | --help) usage; exit ;;
    -*) usage >&2; exit 2 ;;
    *) names+=("$1") ;;
  esac
  shift
done
become_root "$0" "${whole[@]}"
BIN=${BIN:-$CARGO_TARGET_DIR/release}
if [[ -n $build ]]; then
  ensure_rust
  step "building"
  (cd "$TOP" && cargo build --locked --release -p clarateach-server -p clarateach-agent -p clarateach-cli)
fi
find_programs
ensure_runtime
ensure_python_venv
ensure_commands rclone=rclone
ensure_node
ensure_buf
work=$(mktemp -d /var/tmp/clarateach-bench-clients-XXXXXX)
trap clean_up EXIT
trap 'exit 130' INT TERM
dev=$(python_environment dev dev.txt)
"$dev/bin/pip" install -q --disable-pip-version-check --no-deps --no-build-isolation \
  --target "$work/installed" "$TOP/sdk/python"
export PYTHONPATH=$work/installed
build_sdk
step "starting a server"
start_server 900
step "load $(cut -d' ' -f1-3 /proc/loadavg), $(nproc) processors"
for name in unary upload terminals; do
  ! wanted "$name" || "$dev/bin/python" "$TOP/sdk/python/bench/beside.py" "$name"
done
! wanted node || (cd "$TOP/sdk/typescript" && node bench/beside.mjs)
! wanted bundle || (cd "$TOP/sdk/typescript" && npm run --silent bundle-size)
! wanted start || "$dev/bin/python" "$TOP/sdk/python/bench/start.py" "$BIN/clarateach" "$BUF" "$TOP/proto"
