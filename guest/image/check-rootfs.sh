#!/usr/bin/env bash
# Facts that the root filesystem must keep, each said as one line.
#
# Usage: check-rootfs.sh TREE (as root). Ends with `N passed, N failed`.
# shellcheck disable=SC2016 # what is quoted expands inside the tree
set -uo pipefail
tree=$(readlink -f "${1:?check-rootfs.sh wants the directory of a root filesystem}")
passed=0 failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Usage: fact 'what is so' COMMAND…
fact() {
  local what=$1 out
  shift
  if out=$("$@" 2>&1); then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf 'not so: %s\n' "$what"
    printf '%s\n' "$out" | head -n 5 | sed 's/^/    /'
  fi
}

# In the tree, as the learner, with an empty environment. Read-only: the tree is shared.
learner() {
  unshare --mount --uts --pid --fork sh -c '
    set -e
    tree=$1; shift
    mount --bind "$tree" "$tree"
    mount -o remount,bind,ro "$tree"
    mount -t tmpfs tmpfs "$tree/tmp"
    mount -t tmpfs tmpfs "$tree/dev"
    mount -t tmpfs -o uid=1000,gid=1000 tmpfs "$tree/home/learner/workspace"
    mount -t tmpfs tmpfs "$tree/run"
    for node in null zero urandom; do touch "$tree/dev/$node"; mount --bind "/dev/$node" "$tree/dev/$node"; done
    mount -t proc proc "$tree/proc"
    hostname seat-7
    exec chroot --userspec=1000:1000 "$tree" /usr/bin/env -i HOME=/home/learner USER=learner LOGNAME=learner \
      TERM=xterm-256color bash -lc "cd ~/workspace && $*"' sh "$tree" "$@"
}

says() { # PATTERN COMMAND…
  local pattern=$1 out
  shift
  out=$("$@" 2>&1)
  printf '%s\n' "$out"
  grep -qE -- "$pattern" <<< "$out"
}

lacks() { # PATTERN COMMAND…
  ! says "$@"
}

none_found() {
  local out
  out=$(find "$tree" -xdev "$@" -print -quit)
  printf '%s\n' "$out"
  [[ -z $out ]]
}

for tool in bash git python3 curl nano vim vim.tiny less ps make sudo ip tmux ssh; do
  fact "the learner can run $tool" learner "command -v $tool"
done
fact "the learner is uid and gid 1000" says '^1000:1000$' learner 'echo $(id -u):$(id -g)'
fact "a shell starts in a workspace that the learner owns" says '^/home/learner/workspace 1000$' \
  learner 'echo $PWD $(stat -c %u .)'
fact "sudo needs no password and knows the machine's own name" says '^root$' learner 'sudo -n id -un'
fact "sudo has nothing to complain about" lacks 'unable to resolve|sudo:' learner 'sudo -n true'
fact "text is UTF-8" says '^7$' learner 'x=grüße-✓; echo ${#x}'
fact "the greeting names the machine" says 'seat-7' learner 'bash -lic true'
fact "the greeting is silenced by .hushlogin" lacks 'Welcome' \
  learner 'mkdir h; touch h/.hushlogin; HOME=$PWD/h bash -lic true'
fact "the prompt names learner, machine and branch" says 'learner@.*seat-7.*\(lesson\)' \
  learner "git init -qb lesson .; bash -lic 'eval \"\$PROMPT_COMMAND\"; echo \"\${PS1@P}\"'"
fact "the prompt shows how a command failed" says '\[3\]' \
  learner "bash -lic '(exit 3); eval \"\$PROMPT_COMMAND\"; echo \"\${PS1@P}\"'"
fact "Python makes virtual environments" learner 'python3 -m venv v && v/bin/python -c "import ssl, sqlite3"'
fact "the place of the guest's binary is there" test -x "$tree/usr/lib/clarateach/guest"
fact "everybody may walk the tree" says '^755 0$' stat -c '%a %u' "$tree"
fact "there is no device node" none_found \( -type b -o -type c \)
fact "no option of the builder's own apt is left" none_found -path '*/apt.conf.d/*mmdebstrap*'
fact "no seat shares an identity with another" test ! -s "$tree/etc/machine-id"
fact "an ext4 image is made of it as it stands" mkfs.ext4 -q -F -d "$tree" "$work/rootfs.ext4" 1G

printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
