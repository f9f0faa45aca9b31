#!/usr/bin/env bash
# The figures, each beside its peer, in one run: medians, spread and the ratio.
# Nothing here passes or fails by speed.
#
# Way: release binaries and the guest -> bench/src/bin/*.rs, one after the
#      other -> what each prints, and one closing table.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# In the order they run, each with the longest it may take, in seconds.
readonly PROGRAMS=(echo:300 bulk:600 stream200:900 boot:900 crowd:600 memory:300 network:120 noise:600 microvm:1800 listing:600 cloud:600)

usage() {
  cat << HELP
Usage: scripts/bench.sh [--no-build] [--on-disk] [NAME…] [-- FLAG…]

Without a name all of them run, in this order:
  echo       64-byte terminal echo, agent beside nginx
  bulk       1 GiB file down and up, agent beside nginx; the agent's memory
  stream200  200 terminals at 40 KB/s for a minute, agent's CPU beside nginx's
  boot       worker ready to every seat answering, beside bare runc run
  crowd      500 learners join 50 seats at once
  memory     server, agent and guest, resident
  network    the walls around seats: changes, ports, data beside a flat bridge
  noise      another seat's echo, quiet and beside a noisy seat
  microvm    MicroVMs cold and restored, beside bare firecracker; their memory
  listing    pages of a list and a watched change, with ten thousand workshops
  cloud      CreateWorkshop to running before a fake of Google, less its VM's
             own start, beside the seats' own start (unoptimized programs:
             a released server takes no fake's word)

  --no-build   measure what is built already
  --on-disk    keep the server's data and the seats' disks on this machine's
               disk; else they are in memory, so that no disk decides (8 GiB of
               it must be available). noise always is
  -- FLAG…     go to every named program, such as \`bench.sh echo -- --rounds 21\`
HELP
}

names=() flags=() build=1 memory=1 whole=("$@")
while (($#)); do
  case $1 in
    --no-build) build= ;;
    --on-disk) memory= ;;
    -h | --help) usage; exit ;;
    --) shift; flags=("$@"); break ;;
    -*) usage >&2; exit 2 ;;
    *)
      [[ " ${PROGRAMS[*]} " == *" $1:"* ]] || die "There is no benchmark $1." "See scripts/bench.sh --help."
      names+=("$1")
      ;;
  esac
  shift
done
become_root "${BASH_SOURCE[0]}" "${whole[@]}"
((${#names[@]})) || names=("${PROGRAMS[@]%%:*}")

ensure_rust
ensure_runtime
# The light flavour is enough: a proxy with TLS.
ensure_commands nginx=nginx-light setpriv=util-linux
[[ " ${names[*]} " != *" listing "* ]] || (ensure_postgres) || warn "PostgreSQL could not be installed"
if [[ -n $build ]]; then
  step "building"
  (cd "$TOP" && cargo build --locked --release -p clarateach-server -p clarateach-agent -p clarateach-bench)
  [[ " ${names[*]} " != *" cloud "* ]] ||
    (cd "$TOP" && cargo build --locked --workspace --bins)
  images=()
  if [[ " ${names[*]} " == *" microvm "* ]] && : 2> /dev/null <> /dev/kvm; then
    "$TOP/scripts/fetch-firecracker.sh"
    images=(--firecracker)
  fi
  "$TOP/scripts/build-guest.sh" "${images[@]}"
fi

if [[ -n $memory ]] && (($(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo) < 8 << 20)); then
  warn "less than 8 GiB of memory available: measuring on the disk"
  memory=
fi
# A House keeps everything under /var/tmp. What is mounted here ends with its program.
mounts=()
[[ -z $memory ]] || mounts=(unshare --mount --propagation private
  bash -c 'mount -t tmpfs -o mode=1777,size=8g bench /var/tmp && exec "$@"' bash)

table=$(mktemp)
running=''
# A program that is told to stop takes its class down before it ends.
finish() {
  [[ -z $running ]] || { kill -TERM "$running" && wait "$running"; } 2> /dev/null || true
  rm -f "$table"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step "load before: $(cut -d' ' -f1-3 /proc/loadavg), $(nproc) processors, Linux $(uname -r)"
failed=()
for program in "${PROGRAMS[@]}"; do
  name=${program%%:*}
  [[ " ${names[*]} " == *" $name "* ]] || continue
  step "$name"
  in_memory=("${mounts[@]}")
  # A disk's limits are its device's, and memory has none.
  [[ $name != noise ]] || in_memory=()
  # A released server takes no key but Google's own: a fake's is for the tests' build.
  profile=release
  [[ $name != cloud ]] || profile=debug
  CLARATEACH_IMAGES=$IMAGES CLARATEACH_FIRECRACKER_DIR=$CLARATEACH_CACHE/firecracker "${in_memory[@]}" timeout --kill-after=120 "${program##*:}" \
    "$CARGO_TARGET_DIR/$profile/$name" --table "$table" "${flags[@]}" &
  running=$!
  wait "$running" || failed+=("$name")
  running=''
done

step "load after: $(cut -d' ' -f1-3 /proc/loadavg)"
if [[ -s $table ]]; then
  printf '\n'
  { printf 'what\tpeer\tproject\tratio\tgoal\n'; cat "$table"; } | column -t -s $'\t' -o '  '
fi
# Only what could not be measured at all is an error.
((${#failed[@]} == 0)) || die "Not measured: ${failed[*]}"
