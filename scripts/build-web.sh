#!/usr/bin/env bash
# Builds the browser's pages, unless what they are made of is as it was.
#
# Way: what is there -> its sum -> Node and packages -> the SDK -> web/dist/site,
# which the server has in its binary when it is built after this.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/lib-clients.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib-clients.sh"

usage() {
  cat << HELP
Usage: scripts/build-web.sh [--force]

  --force   build although nothing has changed
HELP
}

# Of all that has a say in what is built: this checkout's files, and nobody's clock.
sum_of_sources() {
  cd "$TOP"
  {
    node --version
    find web/src web/scripts web/index.html web/vite.config.ts web/package-lock.json \
      sdk/typescript/src sdk/typescript/package-lock.json -type f -print0 | sort -z | xargs -0 sha256sum
  } | sha256sum | cut -d' ' -f1
}

force=''
case ${1-} in
  -h | --help) usage; exit ;;
  --force) force=1 ;;
  '') ;;
  *) die "Unknown: $1" "scripts/build-web.sh --help shows what there is." ;;
esac
ensure_node
site=$TOP/web/dist/site
sum=$(sum_of_sources)
# Outside the pages, so that they hold nothing but themselves.
stamp=$TOP/web/dist/sum
if [[ -z $force && -e $site/index.html && $(cat "$stamp" 2> /dev/null) == "$sum" ]]; then
  note "the pages are as they were"
  exit
fi
rm -f "$stamp"
build_sdk
cd "$TOP/web"
install_dependencies
step "building the pages"
npm run --silent build
printf '%s\n' "$sum" > "$stamp"
note "$(find "$site" -type f ! -name '*.br' ! -name '*.gz' | wc -l) files in web/dist/site"
