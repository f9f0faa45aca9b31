#!/usr/bin/env bash
# The browser's figures, each beside its peer, on a server of their own with containers.
# Nothing here passes or fails by speed.
#
# Way: release programs, which have the pages -> a server -> Chromium -> what web/bench/ prints.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/lib-clients.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib-clients.sh"

usage() {
  cat << HELP
Usage: scripts/bench-web.sh page [ROUNDS]
       scripts/bench-web.sh wall [SEATS] [MINUTES]

  page   a learner's page beside a bare one of xterm.js: from the click on Join to a
         prompt, from a key to its glyph, a flood and Ctrl-C in it, memory
  wall   an instructor's wall of live seats: processors' time and memory

Takes the programs from \$BIN (default: \$CARGO_TARGET_DIR/release), as
\`scripts/build-web.sh && cargo build --release --workspace\` made them. Needs root, or sudo,
and Chromium (\$CLARATEACH_CHROMIUM, or /usr/bin/chromium). Wants a quiet machine.
HELP
}

case ${1-} in
  -h | --help) usage; exit ;;
  page | wall) ;;
  *) usage >&2; exit 2 ;;
esac
become_root "$0" "$@"
BIN=${BIN:-$CARGO_TARGET_DIR/release}
find_programs
ensure_runtime
"$TOP/scripts/build-web.sh"
ensure_node
work=$(mktemp -d /var/tmp/clarateach-bench-XXXXXX)
trap clean_up EXIT
start_server 900
cd "$TOP/web"
node "bench/$1.mjs" "${@:2}"
