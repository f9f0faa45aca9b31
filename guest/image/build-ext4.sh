#!/usr/bin/env bash
# Makes a MicroVM's two read-only disks, which all seats share.
#
# Usage: build-ext4.sh [--images DIR] [--kind hardware|emulated]
# Way: IMAGES/current -> IMAGES/base-HASH.ext4, the root filesystem as it stands;
#      IMAGES/guest-current -> IMAGES/boot-HASH.ext4, the small disk the kernel
#      starts the guest from. The hashes are those of what they hold: a disk that
#      is there is not made again, and a new guest costs a second, not a new base.
#      For hosts whose KVM emulates ring 0 they are base-HASH-emulated.ext4 and so on,
#      of the same with AVX hidden (hide-avx.sh).
#      DISK.sha256 beside each is what the agent checks at its start.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib.sh
source "$here/../../scripts/lib.sh"

images=$IMAGES kind=hardware
if kvm_emulates; then kind=emulated; fi
while (($#)); do
  case $1 in
    --images) images=${2:?--images wants a directory}; shift ;;
    --kind) kind=${2:?--kind wants hardware or emulated}; shift ;;
    -h | --help) sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit ;;
    *) die "unknown argument $1" "See --help." ;;
  esac
  shift
done
((EUID == 0)) || die "This needs root: the root filesystem has files of other owners."
ensure_commands mkfs.ext4=e2fsprogs

rootfs=$(cat "$images/current") guest=$(cat "$images/guest-current")
[[ -d $images/$rootfs && -x $images/$guest ]] ||
  die "There is no root filesystem or guest in $images." "scripts/build-guest.sh makes both."
exec 9> "$images/.ext4.lock"
flock 9
# A maker that was killed left its work: the lock says that nobody works on it.
rm -rf --one-file-system "$images"/.ext4-*

# Usage: make_disk FILE TREE MIB; no journal: nobody ever writes to it
make_disk() {
  local began=$SECONDS fresh=$images/.ext4-$1
  truncate -s "$3M" "$fresh"
  mkfs.ext4 -q -F -m 0 -b 4096 -O ^has_journal,^resize_inode -d "$2" "$fresh"
  chmod 0444 "$fresh"
  rm -f "$images/$1.sha256"
  mv "$fresh" "$images/$1"
  note "$images/$1 ($(du -h "$images/$1" | cut -f1)B, $(took $((SECONDS - began))))"
}

suffix=''
if [[ $kind == emulated ]]; then suffix=-emulated; fi
base=base-${rootfs#rootfs-}$suffix.ext4 boot=boot-${guest#guest-}$suffix.ext4
if [[ ! -e $images/$base ]]; then
  step "making the MicroVMs' base disk"
  tree=$images/$rootfs
  if [[ $kind == emulated ]]; then
    tree=$images/.ext4-base
    cp -a --reflink=auto "$images/$rootfs" "$tree"
    "$here/hide-avx.sh" "$tree"
  fi
  mib=$(du -sm --apparent-size "$tree/" | cut -f1)
  make_disk "$base" "$tree" $((mib * 5 / 4 + 40))
  [[ $kind != emulated ]] || rm -rf --one-file-system "$tree"
fi
if [[ ! -e $images/$boot ]]; then
  step "making the MicroVMs' boot disk"
  tree=$(mktemp -d "$images/.ext4-tree.XXXXXX")
  chmod 0755 "$tree"
  # The guest's early boot mounts on these; nothing is ever written to this disk.
  mkdir "$tree"/{base,seat,new,dev,proc,sys,tmp,run}
  install -m 0755 "$images/$guest" "$tree/guest"
  [[ $kind != emulated ]] || "$here/hide-avx.sh" "$tree"
  mib=$(du -sm --apparent-size "$tree/guest" | cut -f1)
  make_disk "$boot" "$tree" $((mib + 4))
  rm -rf --one-file-system "$tree"
fi
write_sum "$images/$base"
write_sum "$images/$boot"
note "$base and $boot are current"
