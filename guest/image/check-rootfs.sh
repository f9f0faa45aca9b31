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
    mkdir "$tree/dev/pts"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$tree/dev/pts"
    ln -s pts/ptmx "$tree/dev/ptmx"
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

# A login shell at a terminal: waits for what it shows, types, and so on; ends
# with what must be seen last. Usage: dialogue SEEN [TYPED SEEN]…
dialogue() {
  learner "python3 - ${*@Q}" << 'END'
import os, pty, select, sys
shell, terminal = pty.fork()
if shell == 0:
    os.execlp("bash", "-bash")
for turn, text in enumerate(sys.argv[1:]):
    text = text.encode()
    if turn % 2:
        os.write(terminal, text)
        continue
    seen = b""
    while text not in seen:
        if not select.select([terminal], [], [], 20)[0]:
            sys.exit("%r is not in %r" % (text, seen))
        seen += os.read(terminal, 4096)
END
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
fact "a shell of the learner's own taste keeps its prompt" says '^\(v\) .*learner@' \
  learner "bash -lic 'PS1=\"(v) \$PS1\"; eval \"\$PROMPT_COMMAND\"; echo \"\${PS1@P}\"'"
fact "bash has the PATH and the mask of a Debian login" \
  says '^/home/learner/.local/bin:/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games 0022$' \
  learner 'bash -lc "echo \$PATH \$(umask)"'
fact "sh logs in, too" says '^/home/learner/.local/bin:/usr/local/bin:/usr/bin:/bin' \
  learner 'sh -lc "echo \$PATH"'
fact "root logs in with the PATH of root" says '^/root/.local/bin:/usr/local/sbin:.*:/sbin:/bin$' \
  learner 'sudo -i printenv PATH'
# The last number of loadavg is the newest process of this machine.
fact "a login shell and its prompt start no other process" says '^0$' \
  learner "read -r _ _ _ _ first < /proc/loadavg; export first; exec bash -lic '
    eval \"\$PROMPT_COMMAND\"; : \"\${PS1@P}\"; read -r _ _ _ _ last < /proc/loadavg; echo \$((last - first))'"
fact "Tab completes what a command takes, the first time, too" \
  dialogue '$ ' $'git checko\t' 'git checkout '
fact "Tab goes on completing other commands" \
  dialogue '$ ' $'git checko\t' 'git checkout ' $'\x15make --keep-g\t' 'make --keep-going '
fact "Tab completes files and variables" \
  dialogue '$ ' $'cat /etc/hostna\t' '/etc/hostname ' $'\x15echo $HOSTN\t' '$HOSTNAME'
fact "a completion of the learner's own may use bash-completion's functions" \
  dialogue '$ ' $'f() { local cur; _get_comp_words_by_ref cur; COMPREPLY=("${cur}lo-there"); }; complete -F f greet\n' \
  '$ ' $'greet hel\t' 'greet hello-there'
fact "git's own prompt can be asked for" says '^ \(lesson\)$' \
  learner "git init -qb lesson .; bash -lic __git_ps1"
fact "Python makes virtual environments" learner 'python3 -m venv v && v/bin/python -c "import ssl, sqlite3"'
fact "the place of the guest's binary is there" test -x "$tree/usr/lib/clarateach/guest"
fact "everybody may walk the tree" says '^755 0$' stat -c '%a %u' "$tree"
fact "there is no device node" none_found \( -type b -o -type c \)
fact "no option of the builder's own apt is left" none_found -path '*/apt.conf.d/*mmdebstrap*'
fact "no seat shares an identity with another" test ! -s "$tree/etc/machine-id"
fact "an ext4 image is made of it as it stands" mkfs.ext4 -q -F -d "$tree" "$work/rootfs.ext4" 1G

printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
