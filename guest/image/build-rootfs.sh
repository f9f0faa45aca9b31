#!/usr/bin/env bash
# Builds the root filesystem that every seat starts from, out of Debian packages.
#
# Way: packages.txt + overlay/ -> mmdebstrap, with the sources of this machine's
# own apt -> IMAGES/rootfs-HASH/, and its name in IMAGES/current.
# The tree serves as a container's lower directory as it stands, and as the
# contents of an ext4 image. HASH is of everything that goes in, so an unchanged
# image is never built twice and a changed one always is.
set -euo pipefail
umask 022

readonly SUITE=bookworm
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
images=/var/cache/clarateach/images
refresh=

usage() {
  cat <<HELP
Usage: build-rootfs.sh [--images DIR] [--refresh] [--print-name]

Builds DIR/rootfs-HASH from packages.txt and overlay/, unless it is there, and
writes its name to DIR/current. Needs root and mmdebstrap.

  --images DIR   where images are kept (default: $images)
  --refresh      build again although nothing here changed: takes in the
                 packages' newest versions. Running seats keep the old tree.
  --print-name   print rootfs-HASH and do nothing
HELP
}

# Everything that decides what is in the image.
name_of_inputs() {
  (
    cd "$here"
    {
      printf '%s %s\n' "$SUITE" "$(dpkg --print-architecture)"
      find build-rootfs.sh packages.txt overlay -type f -print0 | LC_ALL=C sort -z |
        xargs -0 sha256sum
    } | sha256sum | cut -c1-12 | sed 's/^/rootfs-/'
  )
}

say() { printf 'rootfs: %s\n' "$*" >&2; }

# This machine's own apt sources for Debian's main archive, one a line. Third
# parties' archives stay out of learners' machines.
own_sources() {
  apt-get indextargets --format "\$(ORIGIN)|\$(CODENAME)|\$(COMPONENT)|\$(TARGET_OF)|\$(REPO_URI) \$(RELEASE)" \
    'Identifier: Packages' | awk -F'|' -v suite="$SUITE" '
      $1 == "Debian" && index($2, suite) == 1 && $3 == "main" && $4 == "deb" { print "deb " $5 " main" }' | sort -u
}

# What this machine's apt needs to reach its sources: proxies, clocks, retries.
own_apt_options() {
  apt-config dump Acquire | grep -E '^Acquire::([a-z]+::)?(Proxy|Check-Valid-Until|Check-Date|Retries)\b' || true
}

packages() { grep -vE '^\s*(#|$)' "$here/packages.txt" | paste -sd, -; }

# Runs outside the new tree, after the packages are in.
finish_tree() {
  local root=$1
  # mmdebstrap wrote the options of this machine's apt: they are not the learner's.
  rm -f "$root/etc/apt/apt.conf.d/99mmdebstrap"
  # It reads the whole of bash-completion at every login; ours waits for the first
  # Tab. dpkg leaves a removed configuration file removed.
  rm "$root/etc/profile.d/bash_completion.sh"
  cp -r --no-preserve=mode,ownership "$here/overlay/." "$root/"
  find "$root/etc/profile.d" "$root/etc/skel" "$root/usr/lib/clarateach" -type f -exec chmod 0644 {} +
  chmod 0440 "$root/etc/sudoers.d/learner"

  chroot "$root" groupadd --gid 1000 learner
  chroot "$root" useradd --uid 1000 --gid 1000 --create-home --shell /bin/bash --comment 'Learner' learner
  install -d -o 1000 -g 1000 -m 0755 "$root/home/learner/workspace"
  chroot "$root" visudo -cq

  # `vim` is what people type; Debian calls the small one vi.
  ln -sf vi "$root/usr/bin/vim"
  printf 'LANG=C.UTF-8\n' > "$root/etc/default/locale"
  printf '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n' > "$root/etc/hosts"
  # These three belong to the seat: the guest writes them when it knows who it is.
  : > "$root/etc/machine-id"
  : > "$root/etc/resolv.conf"
  printf 'seat\n' > "$root/etc/hostname"
  # The guest's binary is laid over this file, so a new guest needs no new image.
  install -m 0755 /dev/null "$root/usr/lib/clarateach/guest"
  # Packages and versions, for whoever asks what is in here.
  chroot "$root" dpkg-query --show > "$root/usr/lib/clarateach/packages"
}

build() {
  local name=$1 began=$SECONDS work sources
  sources=$(own_sources)
  if [[ -z $sources ]]; then
    say "apt has no lists of Debian $SUITE yet; fetching them"
    apt-get -q update >&2
    sources=$(own_sources)
  fi
  if [[ -z $sources ]]; then
    say "this machine's apt knows no source of Debian $SUITE (main)."
    say "Add one below /etc/apt/sources.list.d, run apt-get update, and try again."
    exit 1
  fi
  work=$(mktemp -d "$images/.building.XXXXXX")
  # shellcheck disable=SC2064 # the path of now is meant
  trap "rm -rf --one-file-system '$work'" EXIT
  chmod 0755 "$work" # apt downloads as a user of its own
  own_apt_options > "$work/apt.conf"
  printf '%s\n' "$sources" > "$work/sources.list"
  say "building $name from $(grep -cvE '^\s*(#|$)' "$here/packages.txt") packages and what they need (about a minute)"
  mmdebstrap --mode=root --variant=minbase --include="$(packages)" \
    --aptopt="$work/apt.conf" \
    --aptopt='Acquire::Languages "none"' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --customize-hook="$(printf '%q' "$here/build-rootfs.sh") --finish-tree \"\$1\"" \
    "$SUITE" "$work/tree" "$work/sources.list" >&2
  [[ -x $work/tree/bin/bash ]] || { say "the new tree has no shell; it is not used"; exit 1; }
  # Devices come from the runtime; nodes in a directory of the host serve nobody.
  find "$work/tree/dev" -mindepth 1 -delete
  chmod 0755 "$work/tree"
  if [[ -e $images/$name ]]; then
    # Only with --refresh. Whoever has the old tree mounted keeps it: it is moved, not emptied.
    mv "$images/$name" "$images/.replaced.$name.$(date +%s)"
  fi
  mv "$work/tree" "$images/$name"
  rm -rf --one-file-system "$work"
  trap - EXIT
  say "built $name: $(du -sh --apparent-size "$images/$name" | cut -f1) in $((SECONDS - began)) s"
}

main() {
  while (($#)); do
    case $1 in
      --images) images=${2:?--images wants a directory}; shift ;;
      --refresh) refresh=1 ;;
      --print-name) name_of_inputs; exit ;;
      --finish-tree) finish_tree "${2:?}"; exit ;; # mmdebstrap calls this
      -h | --help) usage; exit ;;
      *) usage >&2; exit 2 ;;
    esac
    shift
  done
  ((EUID == 0)) || { say "needs root: it makes files of other owners"; exit 1; }
  command -v mmdebstrap > /dev/null || { say "needs mmdebstrap: apt-get install mmdebstrap"; exit 1; }
  mkdir -p "$images"
  chmod 0755 "$images"
  local name
  name=$(name_of_inputs)
  # One builder at a time; the second finds the first one's work.
  exec 9> "$images/.rootfs.lock"
  flock -n 9 || { say "another build is running; waiting for it"; flock 9; }
  # A builder that was killed left its tree: the lock says that nobody works on it.
  find "$images" -maxdepth 1 -name '.building.*' -exec rm -rf --one-file-system {} +
  if [[ -n $refresh || ! -d $images/$name ]]; then build "$name"; fi
  printf '%s\n' "$name" > "$images/.current.new"
  mv "$images/.current.new" "$images/current"
  say "$images/$name is current"
}

main "$@"
