#!/usr/bin/env bash
# Removes images that nothing starts from any more: no pointer names them, no
# seat's disk goes with them, nothing has them mounted, and they are older than
# a week.
#
# Usage: prune-images.sh [--images DIR] [--alloc DIR]
# Way: pointers in IMAGES, seats of every installation on this host, mounts of
#      every process -> what is in use; the rest of IMAGES -> gone.
# Installations are those of ALLOC (since the host started) and those that are
# noted in IMAGES/.installations. A kept disk fits no other root filesystem than
# its own: where none is noted, root filesystems stay.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

images=$IMAGES alloc=/run/clarateach/alloc
while (($#)); do
  case $1 in
    --images) images=${2:?--images wants a directory}; shift ;;
    --alloc) alloc=${2:?--alloc wants a directory}; shift ;;
    -h | --help) sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit ;;
    *) die "unknown argument $1" "See --help." ;;
  esac
  shift
done
# Only root sees what others have mounted.
((EUID == 0)) && [[ -d $images ]] || exit 0
cd "$images"
# Whoever makes an image may be about to point at it.
exec 8> .rootfs.lock 9> .ext4.lock
flock -n 8 && flock -n 9 || exit 0

declare -A used=()

# Usage: use NAME; with what is made of it
use() {
  used[$1]=1
  case $1 in
    rootfs-*) used[base-${1#rootfs-}.ext4]=1 used[base-${1#rootfs-}-emulated.ext4]=1 ;;
    guest-*) used[boot-${1#guest-}.ext4]=1 used[boot-${1#guest-}-emulated.ext4]=1 ;;
  esac
}

pointers() { find . -maxdepth 1 -type f \( -name current -o -name '*-current' \) -printf '%P\n'; }
while read -r pointer; do
  read -r name < "$pointer" || true
  [[ -z $name ]] || use "$name"
done < <(pointers)

# Every data directory that may have seats, one a line.
installations() {
  local place
  printf '/var/lib/clarateach\n'
  find .installations -type f -exec cat {} + 2> /dev/null || true
  for place in "$alloc"/*.json; do
    [[ ! -e $place ]] || sed -n 's/^ *"data_dir": *"\(.*\)",\{0,1\}$/\1/p' "$place"
  done
}
while read -r data; do
  for note in "$data"/workers/*/run/seats/*/rootfs; do
    # It has no newline at its end.
    [[ ! -e $note ]] || use "$(< "$note")"
  done
done < <(installations | sort -u)

mounts=$(cat /proc/[0-9]*/mountinfo 2> /dev/null | sort -u || true)

# Usage: prune NAME; a path below IMAGES
prune() {
  [[ -z ${used[$1]-} && $mounts != *"/$1"[\ /]* ]] || return 0
  note "removing $images/$1, unused for more than a week"
  # Renamed first: half an image must not look like one.
  mv "$1" ".pruning-${1//\//-}"
  rm -rf --one-file-system ".pruning-${1//\//-}"
}

rm -rf --one-file-system .pruning-*
# What a refresh replaced has another name and is somebody's only while mounted.
kinds=(-name 'guest-*' -o -name 'boot-*' -o -name 'vmlinux-*' -o -name '.replaced.*')
if [[ -n $(find .installations -type f -print -quit 2> /dev/null) ]]; then
  kinds+=(-o -name 'rootfs-*' -o -name 'base-*')
fi
while read -r name; do
  prune "$name"
done < <(find . -maxdepth 1 -mtime +7 \( "${kinds[@]}" \) ! -name '*-current' -printf '%P\n')

# A snapshot's name does not say of what it is. One that is older than a disk or
# kernel in use is of an earlier one; it is made again where that is wrong.
newest=
for name in "${!used[@]}"; do
  case $name in
    base-* | boot-* | vmlinux-*)
      [[ ! -e $name || ($newest && $newest -nt $name) ]] || newest=$name
      ;;
  esac
done
if [[ $newest && -d snapshots ]]; then
  while read -r name; do
    prune "snapshots/$name"
  done < <(find snapshots -mindepth 1 -maxdepth 1 -type d ! -name '.*' -mtime +7 \
    ! -newer "$newest" -printf '%P\n')
fi

# Notes of installations that are long gone.
while read -r note; do
  [[ -d $(< "$note") ]] || rm -f "$note"
done < <(find .installations -type f -mtime +7 2> /dev/null || true)
