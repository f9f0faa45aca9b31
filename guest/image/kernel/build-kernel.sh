#!/usr/bin/env bash
# Builds a guest kernel from Debian's linux-source-6.1 and a configuration of
# our own.
#
# Usage: build-kernel.sh --variant hardware|emulated [--images DIR]
# Way: linux-source + common.config + VARIANT.config (+ emulated-host.patch)
#      -> IMAGES/vmlinux-VARIANT-HASH, its name in IMAGES/vmlinux-VARIANT-current.
# The hash is of what goes in: a kernel that is there is not built again.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib.sh
source "$here/../../../scripts/lib.sh"

# Raise it when a change of this script changes the kernel: its own words do not count.
readonly RECIPE=1

variant='' images=$IMAGES
while (($#)); do
  case $1 in
    --variant) variant=${2:?--variant wants hardware or emulated}; shift ;;
    --images) images=${2:?--images wants a directory}; shift ;;
    -h | --help) sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit ;;
    *) die "unknown argument $1" "See --help." ;;
  esac
  shift
done
[[ $variant == hardware || $variant == emulated ]] ||
  die "which kernel?" "--variant hardware (production) or --variant emulated (hosts whose KVM emulates ring 0)"

source_tar=/usr/src/linux-source-6.1.tar.xz
install=()
[[ -e $source_tar ]] || install+=(linux-source-6.1)
[[ -e /usr/include/libelf.h ]] || install+=(libelf-dev)
install_packages "${install[@]}"
ensure_commands flex=flex bison=bison bc=bc make=make cc=gcc xz=xz-utils

# Usage: inputs; what the kernel depends on, as one stream
inputs() {
  dpkg-query -W -f '${Version}\n' linux-source-6.1
  cc -dumpfullversion
  cat "$here/common.config" "$here/$variant.config"
  printf '%s\n' "$RECIPE"
  [[ $variant != emulated ]] || cat "$here/emulated-host.patch"
}

# Says how far make is, a line each ten seconds: it is quiet for minutes otherwise.
# Usage: make … | progress
progress() {
  local lines=0 said=$SECONDS
  while IFS= read -r _; do
    lines=$((lines + 1))
    if ((SECONDS - said >= 10)); then
      note "$lines steps done, $(took $((SECONDS - began)))"
      said=$SECONDS
    fi
  done
}

name=vmlinux-$variant-$(inputs | sha256sum | cut -c1-12)
mkdir -p "$images"
exec 9> "$images/.vmlinux-$variant.lock"
flock 9
if [[ ! -e $images/$name ]]; then
  build=$CLARATEACH_CACHE/kernel-$variant
  began=$SECONDS
  step "kernel $variant: unpacking the source"
  rm -rf "$build"
  mkdir -p "$build"
  tar -C "$build" --strip-components=1 -xf "$source_tar"
  note "$(took $((SECONDS - began)))"
  [[ $variant != emulated ]] || patch -d "$build" -p1 --quiet < "$here/emulated-host.patch"
  cat "$here/common.config" "$here/$variant.config" > "$build/.config"
  make -C "$build" -s olddefconfig
  began=$SECONDS
  step "kernel $variant: compiling on $(nproc) processors (some minutes)"
  make -C "$build" -j"$(nproc)" KBUILD_BUILD_TIMESTAMP='1970-01-01' \
    KBUILD_BUILD_USER=clarateach KBUILD_BUILD_HOST=clarateach vmlinux | progress
  note "$(took $((SECONDS - began)))"
  strip -o "$images/.$name" "$build/vmlinux"
  cp "$build/.config" "$images/$name.config"
  mv "$images/.$name" "$images/$name"
  rm -rf "$build"
fi
printf '%s\n' "$name" > "$images/.vmlinux-$variant-current"
mv "$images/.vmlinux-$variant-current" "$images/vmlinux-$variant-current"
note "$images/$name ($(du -h "$images/$name" | cut -f1)B) is current"
