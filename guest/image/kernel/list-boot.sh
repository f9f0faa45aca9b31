#!/usr/bin/env bash
# Boots the production kernel as far as the guest and lists what it spent its time on.
#
# Usage: list-boot.sh [--images DIR] [--top N]
# Way: the hardware kernel, built if it is not there, and the MicroVMs' own disks ->
#      QEMU's `microvm` machine (ACPI and virtio-mmio, as Firecracker's) with
#      `initcall_debug` -> the slowest steps, and whether ACPI came up and the guest
#      was reached. It needs no KVM: without it the processor is translated, so that
#      times are good beside each other and not by themselves.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib.sh
source "$here/../../../scripts/lib.sh"

images=$IMAGES top=20
while (($#)); do
  case $1 in
    --images) images=${2:?--images wants a directory}; shift ;;
    --top) top=${2:?--top wants a number}; shift ;;
    -h | --help) sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit ;;
    *) die "unknown argument $1" "See --help." ;;
  esac
  shift
done
become_root "${BASH_SOURCE[0]}" --images "$images" --top "$top"

ensure_commands qemu-system-x86_64=qemu-system-x86 mkfs.ext4=e2fsprogs
"$here/build-kernel.sh" --variant hardware --images "$images"
kernel=$images/$(< "$images/vmlinux-hardware-current")

# Usage: disk KIND CURRENT PREFIX: of the images there are, whatever host they are for
disk() {
  local hash file
  hash=$(< "$images/$2") hash=${hash#"$3"}
  for file in "$images/$1-$hash.ext4" "$images/$1-$hash-emulated.ext4"; do
    if [[ -e $file ]]; then printf '%s' "$file"; return; fi
  done
  die "There is no $1 disk in $images." "scripts/build-guest.sh --firecracker makes it."
}
boot=$(disk boot guest-current guest-) base=$(disk base current rootfs-)

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
truncate -s 256M "$place/seat.ext4"
mkfs.ext4 -q -F "$place/seat.ext4"

acceleration=tcg
if ! kvm_emulates && : 2> /dev/null <> /dev/kvm; then acceleration=kvm; fi
step "booting $(basename "$kernel") ($acceleration)"
drives=() number=0
for drive in "$boot,readonly=on" "$base,readonly=on" "$place/seat.ext4"; do
  drives+=(-drive "id=d$number,if=none,format=raw,file=$drive" -device "virtio-blk-device,drive=d$number")
  number=$((number + 1))
done
# Under KVM the host says how fast its clock is and what time it is. Elsewhere the kernel
# would measure the one, which a busy host spoils, and wait for the other.
khz=$(awk '/^cpu MHz/ { printf "%d", $4 * 1000; exit }' /proc/cpuinfo)
# The guest waits for whoever tells it its name: nobody here does.
timeout 60 qemu-system-x86_64 -M microvm,acpi=on,pcie=off,rtc=on,isa-serial=on \
  -accel "$acceleration" -cpu max -smp 1 -m 512 -nodefaults -no-user-config -nographic \
  -serial "file:$place/log" -kernel "$kernel" "${drives[@]}" -device virtio-rng-device \
  -append "console=ttyS0 initcall_debug ignore_loglevel reboot=k panic=-1 pci=off \
tsc_early_khz=$khz root=/dev/vda ro CLARATEACH_RUNTIME=firecracker init=/guest" -no-reboot 2> "$place/said" &
qemu=$!
for ((tenths = 0; tenths < 600; tenths++)); do
  if grep -q 'Run /guest as init' "$place/log" 2> /dev/null || ! kill -0 "$qemu" 2> /dev/null; then break; fi
  sleep 0.1
done
kill "$qemu" 2> /dev/null || true
wait "$qemu" 2> /dev/null || true

sed -n 's/.*initcall \([^ +]*\)+.* returned \(-\{0,1\}[0-9]*\) after \([0-9]*\) usecs.*/\3 \1 \2/p' \
  "$place/log" | sort -rn > "$place/steps"
printf '\n%10s  %s\n' 'µs' "the slowest $top of $(wc -l < "$place/steps") steps"
head -n "$top" "$place/steps" | while read -r took name result; do
  printf '%10d  %s%s\n' "$took" "$name" "$([[ $result == 0 ]] || echo " (not there: $result)")"
done
awk '{ all += $1 } END { printf "%10d  all of them\n", all }' "$place/steps"
sed -n 's/^\[ *\([0-9.]*\)\].*Run \/guest as init.*/\1/p' "$place/log" |
  while read -r at; do printf '%10.0f  from the kernel'"'"'s first word to the guest\n' "${at/./}"; done
[[ -s $place/log ]] || die "QEMU did not start." "$(< "$place/said")"
grep -q 'ACPI: Interpreter enabled' "$place/log" ||
  die "ACPI did not come up." "$(grep -m 3 'ACPI.*\(Error\|Unable\)' "$place/log" || true)"
grep -q 'Run /guest as init' "$place/log" ||
  die "The guest was not reached." "$(tail -n 5 "$place/log")"
note "ACPI is up, and the guest was started"
