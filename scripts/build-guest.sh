#!/usr/bin/env bash
# Makes what every seat starts from: the guest, one static binary, and the root
# filesystem.
#
# Way: guest/ -> cargo -> IMAGES/guest-HASH, its name in IMAGES/guest-current;
#      guest/image/ -> IMAGES/rootfs-HASH/, its name in IMAGES/current.
# What is there already is not made again; what nothing starts from any more goes.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

images=$IMAGES
guest=1 rootfs=1 firecracker='' kind=hardware
if kvm_emulates; then kind=emulated; fi

usage() {
  cat << HELP
Usage: scripts/build-guest.sh [--images DIR] [--firecracker] [--kind KIND]
                               [--guest-only | --rootfs-only | --firecracker-only]

  --images DIR    where images are kept (default: $images)
  --guest-only    only the static guest binary (needs no root)
  --rootfs-only   only the root filesystem (needs root)
  --firecracker   the MicroVMs' kernel and disks, too: the kernel that this
                  kind of host needs takes some minutes the first time
  --firecracker-only  those alone, of the guest and root filesystem that are there
  --kind KIND     the hosts they are for: hardware, or emulated where KVM emulates
                  ring 0 (default: as this host, $kind)
HELP
}

glibc_is_at_least() {
  local have
  have=$(getconf GNU_LIBC_VERSION 2> /dev/null) || return 1
  printf '%s\n' "$1" "${have#glibc }" | sort --check=quiet --version-sort
}

# The target is named although it is this machine's own: only then do the static
# flags stay away from build scripts and macros, which must be shared objects.
build_guest() {
  local target binary name file flags=()
  target=$(rustc -vV | sed -n 's/^host: //p')
  step "building the guest for $target"
  # Packed relocations are 3 KiB where the plain ones are 240, which every seat
  # would hold in memory. The C library that goes in must know them.
  if glibc_is_at_least 2.36; then flags=(-C 'link-arg=-Wl,-z,pack-relative-relocs'); fi
  (cd "$TOP" && RUSTFLAGS="-C target-feature=+crt-static" \
    cargo rustc --locked -p clarateach-guest --bin clarateach-guest --profile guest \
    --target "$target" -- "${flags[@]}")
  binary=$CARGO_TARGET_DIR/$target/guest/clarateach-guest
  # It runs in a root filesystem that need not have our libraries.
  if ! file -L "$binary" | grep -qE 'static-pie linked|statically linked'; then
    die "$binary is not static" "$(file -L "$binary")"
  fi
  # It relocates itself before its first line: better found out here than by PID 1.
  "$binary" --version > /dev/null || die "$binary does not start"
  name=guest-$(sha256sum "$binary" | cut -c1-12)
  mkdir -p "$images"
  if [[ ! -e $images/$name ]]; then
    file=$(mktemp "$images/.guest.XXXXXX")
    install -m 0755 "$binary" "$file"
    mv "$file" "$images/$name"
  fi
  file=$(mktemp "$images/.guest-current.XXXXXX")
  printf '%s\n' "$name" > "$file"
  chmod 0644 "$file"
  mv "$file" "$images/guest-current"
  note "$images/$name ($(du -h --apparent-size "$images/$name" | cut -f1)B, static) is current"
}

while (($#)); do
  case $1 in
    --images) images=${2:?--images wants a directory}; shift ;;
    --guest-only) rootfs= ;;
    --rootfs-only) guest= ;;
    --firecracker) firecracker=1 ;;
    --firecracker-only) firecracker=1 guest='' rootfs='' ;;
    --kind) kind=${2:?--kind wants hardware or emulated}; shift ;;
    -h | --help) usage; exit ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done

[[ $kind == hardware || $kind == emulated ]] || { usage >&2; exit 2; }

# First, so that what is replaced now stays for whoever is starting from it.
"$TOP/scripts/prune-images.sh" --images "$images"
if [[ -n $guest ]]; then
  ensure_rust
  ensure_commands file=file
  build_guest
fi
if [[ -n $rootfs ]]; then
  ensure_commands mmdebstrap=mmdebstrap
  step "root filesystem"
  "$TOP/guest/image/build-rootfs.sh" --images "$images"
fi
if [[ -n $firecracker ]]; then
  # The sum of a file that was removed says nothing about its successor.
  for sum in "$images"/*.sha256; do
    [[ -e ${sum%.sha256} ]] || rm -f "$sum"
  done
  step "guest kernel for this kind of host: $kind"
  "$TOP/guest/image/kernel/build-kernel.sh" --variant "$kind" --images "$images"
  # Not in build-kernel.sh: a change of that script makes another kernel.
  write_sum "$images/$(cat "$images/vmlinux-$kind-current")"
  "$TOP/guest/image/build-ext4.sh" --images "$images" --kind "$kind"
fi
