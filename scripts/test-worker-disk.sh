#!/usr/bin/env bash
# Makes the disk of worker VMs for real, in a Debian 12 of its own: twice, for it may be
# done again, and its own check tells what is right and what must not be there.
#
# Way: mmdebstrap -> a root with this checkout and what was built here -> in it
#      setup-clara2-snapshot.sh -> its --check, and again with something wrong ->
#      systemd's word on the agent's unit. Nothing outlives it.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# What systemd-analyze may find the unit exposed to, times ten: 7.0 when it was written.
readonly EXPOSED=70

usage() {
  cat << HELP
Usage: scripts/test-worker-disk.sh

Takes the agent from \$CARGO_TARGET_DIR/debug and the images from \$CLARATEACH_CACHE, as
scripts/test.sh build guest rootfs microvm makes them. Needs root, or sudo.
HELP
}

# Usage: inside COMMAND…: in the worker's root, from its checkout
inside() { chroot "$root" env -C /root/clarateach "$@"; }

# Usage: refused WHAT: the check must name it
refused() {
  local said
  if said=$(inside scripts/setup-clara2-snapshot.sh --check --tests 2>&1); then
    die "The check passed in spite of this: $1."
  fi
  grep -q "^MISSING $1\$" <<< "$said" || die "The check does not name this: $1." "$said"
  note "named: $1"
}

# Only in a mount namespace of its own, whose mounts end with it.
make() {
  local place said
  root=$1
  for place in proc sys dev; do mount --rbind "/$place" "$root/$place"; done
  mount --bind "$IMAGES" "$root/srv/from/images"
  mount --bind "$CLARATEACH_CACHE/firecracker" "$root/var/cache/clarateach/firecracker"
  step "the disk of a worker, twice"
  inside scripts/setup-clara2-snapshot.sh --from /srv/from --tests
  inside scripts/setup-clara2-snapshot.sh --from /srv/from --tests > /dev/null
  step "what its check must name"
  echo '"type": "service_account"' > "$root/root/key.json"
  refused "no secret"
  rm "$root/root/key.json"
  : > "$root/etc/ssh/ssh_host_rsa_key"
  refused "no ssh host keys"
  rm "$root/etc/ssh/ssh_host_rsa_key"
  echo 0123456789abcdef0123456789abcdef > "$root/etc/machine-id"
  refused "no machine id"
  : > "$root/etc/machine-id"
  mkdir "$root/var/lib/clarateach-agent"
  refused "no state of an agent"
  rmdir "$root/var/lib/clarateach-agent"
  echo '# another' >> "$root/etc/systemd/system/clarateach-agent.service"
  refused "unit is this checkout's"
  sed -i '$d' "$root/etc/systemd/system/clarateach-agent.service"
  inside scripts/setup-clara2-snapshot.sh --check --tests > /dev/null
  step "the agent's unit"
  # It passes over a word that it does not know, and says so.
  said=$(inside systemd-analyze verify /etc/systemd/system/clarateach-agent.service 2>&1) && [[ -z $said ]] ||
    die "systemd finds fault with the unit." "$said"
  inside systemd-analyze security --offline=true --threshold="$EXPOSED" \
    /etc/systemd/system/clarateach-agent.service | tail -n 1
}

case ${1-} in
  -h | --help) usage; exit ;;
  --make) make "${2:?}"; exit ;; # called below
  '') ;;
  *) usage >&2; exit 2 ;;
esac
become_root "$0" "$@"
ensure_commands mmdebstrap=mmdebstrap unshare=util-linux tar=tar
[[ -x $CARGO_TARGET_DIR/debug/clarateach-agent ]] || die "The agent is missing." "Run scripts/test.sh build."
work=$(mktemp -d /var/tmp/clarateach-worker-XXXXXX)
trap 'rm -rf --one-file-system "$work"' EXIT
step "a Debian 12"
# As a VM of Google's has it, and what a network would bring: none is needed inside.
mmdebstrap --mode=root --variant=minbase --quiet \
  --include=systemd,ca-certificates,nftables,iproute2,curl,e2fsprogs,mount,openssh-client \
  bookworm "$work/root" >&2
mkdir -p "$work/root/root/clarateach" "$work/root/srv/from/images" "$work/root/var/cache/clarateach/firecracker"
cp "$CARGO_TARGET_DIR/debug/clarateach-agent" "$work/root/srv/from/"
git -C "$TOP" ls-files -z | tar -C "$TOP" --null -T - -c | tar -C "$work/root/root/clarateach" -x
unshare --mount --propagation private "$0" --make "$work/root"
[[ -e /dev/kvm ]] || echo "SKIPPED: worker: clarateach-agent check on the disk: there is no /dev/kvm"
step "the disk is as it should be"
