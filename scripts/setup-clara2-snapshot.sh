#!/usr/bin/env bash
# Turns this fresh Debian 12 VM into what workers are made from; then says how the
# snapshot of its disk is made. Done again, it does what is missing.
#
# Way: packages -> firecracker and jailer by sha256 -> the agent, guest, kernel and
#      disks, built here or taken from --from DIR -> settings and units -> what would
#      tell one VM from another is removed -> check.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly STATE=/var/lib/clarateach UNIT=/etc/systemd/system/clarateach-agent.service
readonly SYSCTLS=/etc/sysctl.d/60-clarateach.conf BIN=/usr/local/bin
from='' only_check='' tests='' name=clara2-snapshot failed=0

usage() {
  cat << HELP
Usage: scripts/setup-clara2-snapshot.sh [--check] [--from DIR] [--name NAME]

  --check      change nothing: say what is there and what is missing
  --from DIR   take the agent and the images from DIR (clarateach-agent, images/),
               as another machine made them, instead of building them here
  --name NAME  what the snapshot will be called (default: $name)
  --tests      take, and with --check accept, the old firecracker that tests use;
               never for a class

Run it as root on a Debian 12 VM whose machine type can nest (n2-standard-8), from
a checkout of this repository. It ends with the lines that make the snapshot.
HELP
}

packages() {
  ensure_commands nft=nftables ip=iproute2 curl=curl mkfs.ext4=e2fsprogs losetup=mount \
    ssh-keygen=openssh-client
}

programs() {
  local built
  scripts/fetch-firecracker.sh ${tests:+--tests}
  built=$CLARATEACH_CACHE/firecracker/$(< "$CLARATEACH_CACHE/firecracker/current")
  [[ -z ${tests} && -e $built/known-holes ]] &&
    die "Only a firecracker with known holes could be fetched." \
      "Give this machine a way to github.com, or run it again later."
  install -m 0755 "$built/firecracker" "$built/jailer" "$BIN/"
  mkdir -p "$STATE/images"
  if [[ -n $from ]]; then
    [[ -x $from/clarateach-agent && -d $from/images ]] ||
      die "$from has no clarateach-agent and no images/."
    install -m 0755 "$from/clarateach-agent" "$BIN/clarateach-agent"
    step "copying images"
    cp -a --no-preserve=ownership "$from/images/." "$STATE/images/"
    return
  fi
  ensure_rust
  step "building the agent"
  cargo build --locked --release --workspace --bin clarateach-agent
  install -m 0755 "$CARGO_TARGET_DIR/release/clarateach-agent" "$BIN/clarateach-agent"
  # For workers, which have it by hardware, whatever this VM was made without.
  if [[ -z $tests ]]; then
    scripts/build-guest.sh --images "$STATE/images" --firecracker --kind hardware
  else
    scripts/build-guest.sh --images "$STATE/images" --firecracker
  fi
}

settings() {
  step "settings and units"
  cat > "$SYSCTLS" << 'CONF'
# Of scripts/setup-clara2-snapshot.sh: a worker forwards what its seats send.
net.ipv4.ip_forward = 1
net.netfilter.nf_conntrack_max = 1048576
net.ipv4.neigh.default.gc_thresh3 = 8192
fs.inotify.max_user_instances = 8192
kernel.pid_max = 4194304
vm.overcommit_memory = 1
CONF
  echo nf_conntrack > /etc/modules-load.d/clarateach.conf
  install -m 0644 "$TOP/scripts/clarateach-agent.service" "$UNIT"
  # Host keys are made at a VM's first boot: all workers come from one disk.
  cat > /etc/systemd/system/clarateach-hostkeys.service << 'UNIT'
[Unit]
Description=Makes this VM's own ssh host keys
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key
Before=ssh.service

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A

[Install]
WantedBy=multi-user.target
UNIT
  systemctl enable clarateach-agent.service clarateach-hostkeys.service >&2
}

# What must not be on a disk that many VMs are made from.
forget() {
  step "removing what would tell one VM from another"
  rm -rf /var/lib/clarateach-agent
  rm -f /etc/ssh/ssh_host_*
  # Empty, and not absent: systemd makes a new one at the next boot.
  : > /etc/machine-id
  rm -f /var/lib/dbus/machine-id /root/.bash_history /var/lib/systemd/random-seed
}

# Usage: look WHAT COMMAND…: one line, and what it said if it failed
look() {
  local what=$1 said
  shift
  if said=$("$@" 2>&1); then
    printf '%sOK%s      %s\n' "$GREEN" "$OFF" "$what"
  else
    printf '%sMISSING%s %s\n%s' "$RED" "$OFF" "$what" "${said:+    ${said//$'\n'/$'\n    '}$'\n'}"
    failed=1
  fi
}

is_debian() { grep -q '^VERSION_ID="12"' /etc/os-release && grep -q '^ID=debian' /etc/os-release; }
has_kernel() {
  local kind=hardware
  [[ -z $tests ]] || kind='*'
  compgen -G "$STATE/images/vmlinux-$kind-current" > /dev/null
}
is_enabled() { [[ -L /etc/systemd/system/multi-user.target.wants/clarateach-agent.service ]]; }
unit_is_current() { cmp "$TOP/scripts/clarateach-agent.service" "$UNIT"; }
has_no_host_keys() { ! compgen -G '/etc/ssh/ssh_host_*_key'; }
has_no_machine_id() { [[ ! -s /etc/machine-id ]]; }
# Keys and tokens have these marks; the unit of systemd's own keys lies elsewhere, and this
# checkout, whose tests have such words, is no secret.
has_no_secret() {
  local found
  found=$(find "$STATE/images" /etc/systemd/system /etc/sysctl.d /usr/local/etc /root \
    -path "$TOP" -prune -o -path "$STATE/images/*/*" -prune -o -type f -size -1024k -print0 2> /dev/null |
    xargs -0r grep -IlE 'BEGIN ([A-Z]+ )?PRIVATE KEY|ya29\.|"type": "service_account"' || true)
  [[ -z $found ]] || { printf '%s\n' "$found"; return 1; }
}
same_version() { [[ $("$BIN/firecracker" --version | head -n1 | grep -o '[0-9.]*$') == "$("$BIN/jailer" --version | head -n1 | grep -o '[0-9.]*$')" ]]; }

check() {
  step "what workers are made from"
  look "Debian 12" is_debian
  look "nft, ip, mkfs.ext4" command -v nft ip mkfs.ext4
  look "firecracker and jailer of one version" same_version
  look "agent" "$BIN/clarateach-agent" --version
  look "root filesystem" test -s "$STATE/images/current"
  look "guest" test -s "$STATE/images/guest-current"
  look "guest kernel" has_kernel
  look "sysctls" test -s "$SYSCTLS"
  look "unit is this checkout's" unit_is_current
  look "unit is enabled" is_enabled
  look "no state of an agent" test ! -e /var/lib/clarateach-agent
  look "no ssh host keys" has_no_host_keys
  look "no machine id" has_no_machine_id
  look "no secret" has_no_secret
  if [[ -e /dev/kvm ]]; then
    look "this VM can run MicroVMs (clarateach-agent check)" "$BIN/clarateach-agent" check \
      --images "$STATE/images" --firecracker-bin "$BIN/firecracker" --jailer-bin "$BIN/jailer" \
      ${tests:+--firecracker-accept "$("$BIN/firecracker" --version | grep -om1 '[0-9.]*$')"}
  else
    warn "SKIPPED: clarateach-agent check: there is no /dev/kvm here"
  fi
  return "$failed"
}

arguments=("$@")
while (($#)); do
  case $1 in
    --check) only_check=1 ;;
    --from) from=$(realpath -- "${2:?--from wants a directory}"); shift ;;
    --name) name=${2:?--name wants a name}; shift ;;
    --tests) tests=1 ;;
    -h | --help) usage; exit ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done
[[ $name =~ ^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$ ]] || die "--name wants a name of Google's form, not '$name'."
become_root "$0" "${arguments[@]}"
cd "$TOP"
if [[ -n $only_check ]]; then
  check || die "This is no worker yet." "Run scripts/setup-clara2-snapshot.sh without --check."
  exit
fi
is_debian || die "This is not Debian 12." "Workers are made from Debian 12: begin with an image of it."
packages
programs
settings
forget
check || die "Something is missing: see above."
cat << HELP

This disk is ready. From a machine with gcloud (PROJECT, ZONE and this VM's name are yours):

  gcloud compute instances stop VM --project PROJECT --zone ZONE
  gcloud compute snapshots create $name --project PROJECT --source-disk VM --source-disk-zone ZONE
  gcloud compute images create $name-1 --project PROJECT --source-snapshot $name --family clarateach-worker

The image is for many workshops at once (clarateach-server --gcp-image-family
clarateach-worker): Google limits how often disks are made from one snapshot.
HELP
