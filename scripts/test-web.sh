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

# A CA that no machine trusts, and a certificate of it for names that nobody's DNS knows:
# stories tell Chromium both.
workers=w.clarateach.test
make_certificate() {
  ensure_commands openssl=openssl
  local ca=(-CA "$work/known.pem" -CAkey "$work/known.key")
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=known to browsers" \
    -addext keyUsage=critical,keyCertSign -keyout "$work/known.key" -out "$work/known.pem" 2> /dev/null
  openssl req -x509 "${ca[@]}" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
    -subj "/CN=workers" -addext basicConstraints=critical,CA:FALSE -addext "subjectAltName=DNS:*.$workers" \
    -keyout "$work/workers.key" -out "$work/workers.pem" 2> /dev/null
  export CLARATEACH_WORKERS=$workers CLARATEACH_WORKERS_CA=$work/known.pem
  export CLARATEACH_WORKERS_CERT=$work/workers.pem
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
step "starting a server whose workers have names"
make_certificate
# Tokens so short that a page which sleeps for a moment wakes without one.
start_server 20 --worker-domain "$workers" --allowed-origin @URL@ --worker-hourly-usd 0.24 \
  --worker-tls-cert "$work/workers.pem" --worker-tls-key "$work/workers.key"
# What a story needs that has a server of its own, in the cloud.
export CLARATEACH_BIN=$BIN CLARATEACH_IMAGES=$IMAGES
step "stories in Chromium"
npm run --silent e2e -- "$@"
