#!/usr/bin/env bash
# Tests sdk/typescript: its code, and all of it against a live server.
#
# Way: Node and packages -> generated code current, types, lints -> a server of
#      its own with containers -> tests for each way to a seat -> the packed
#      package in an empty folder, with the README's code -> bundle size -> down.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/lib-clients.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib-clients.sh"

readonly SDK=$TOP/sdk/typescript

usage() {
  cat << HELP
Usage: scripts/test-sdk-typescript.sh [TEST…]

  TEST   run only test files whose path has this in it; the rest is done all the same

Takes the server's programs from \$BIN (default: \$CARGO_TARGET_DIR/debug), as
\`cargo build --workspace\` made them, and the root filesystem from
scripts/build-guest.sh. Needs root, or sudo. Stories in Chromium are told when it
is installed (\$CLARATEACH_CHROMIUM, or /usr/bin/chromium).
HELP
}

# As a user has it: installed from the file that would be published.
try_package() {
  local clean=$work/clean
  mkdir "$clean"
  npm pack --silent --pack-destination "$clean" > /dev/null
  node scripts/readme.mjs "$clean"
  cd "$clean"
  echo '{"private": true, "type": "module"}' > package.json
  npm install --ignore-scripts --no-audit --no-fund --loglevel=error ./clarateach-sdk-*.tgz
  step "the README's example"
  node example.mjs
  step "the README's other code, by its types"
  "$SDK/node_modules/.bin/tsc" --noEmit --ignoreConfig --strict --module nodenext --target es2022 \
    --lib es2023,esnext.disposable,dom,dom.iterable,dom.asynciterable --types '' fragments.ts
  cd "$SDK"
}

case ${1-} in -h | --help) usage; exit ;; esac
become_root "$0" "$@"
BIN=${BIN:-$CARGO_TARGET_DIR/debug}
find_programs
ensure_runtime
ensure_commands openssl=openssl faketime=faketime
ensure_node
work=$(mktemp -d /var/tmp/clarateach-sdkts-XXXXXX)
trap clean_up EXIT
cd "$SDK"
install_dependencies
step "generated code, types, lints"
npm run --silent generate:check
npm run --silent check
step "starting a server"
# Short, so that stories see tokens renewed.
start_server 10
step "tests"
npm test --silent -- "$@"
step "the package in an empty folder"
try_package
step "what a page pays"
npm run --silent bundle-size
