#!/usr/bin/env bash
# Tests web/: its code, what a page costs, and all of it in Chromium against a live server.
#
# Way: pages built -> types, lints, unit tests -> first load within its bound -> a
# server of its own with containers -> stories -> down.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/lib-clients.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib-clients.sh"

usage() {
  cat << HELP
Usage: scripts/test-web.sh [STORY…]

  STORY   tell only stories whose path has this in it; the rest is done all the same

Takes the server's programs from \$BIN (default: \$CARGO_TARGET_DIR/debug), as
\`cargo build --workspace\` made them, and the root filesystem from
scripts/build-guest.sh. Needs root, or sudo. Stories need Chromium
(\$CLARATEACH_CHROMIUM, or /usr/bin/chromium). Pictures of all pages go to
\$CLARATEACH_SCREENSHOTS, if it names a folder.
HELP
}

case ${1-} in -h | --help) usage; exit ;; esac
become_root "$0" "$@"
BIN=${BIN:-$CARGO_TARGET_DIR/debug}
find_programs
ensure_runtime
"$TOP/scripts/build-web.sh"
ensure_node
work=$(mktemp -d /var/tmp/clarateach-web-XXXXXX)
trap clean_up EXIT
cd "$TOP/web"
step "types, lints, unit tests"
npm run --silent check
npm test --silent
step "what a page costs"
npm run --silent size
step "starting a server"
start_server 900
step "stories in Chromium"
npm run --silent e2e -- "$@"
