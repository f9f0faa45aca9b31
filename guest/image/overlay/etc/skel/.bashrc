# Your shell's settings. Change what you like: this file is yours.
case $- in *i*) ;; *) return ;; esac

HISTCONTROL=ignoreboth HISTSIZE=5000 HISTFILESIZE=10000
shopt -s histappend checkwinsize globstar

if [ "${TERM:-dumb}" != dumb ] && [ -z "${NO_COLOR-}" ]; then
  alias ls='ls --color=auto' grep='grep --color=auto' diff='diff --color=auto' ip='ip -color=auto'
fi
alias ll='ls -alF' la='ls -A'

[ -r /usr/lib/clarateach/completion.sh ] && . /usr/lib/clarateach/completion.sh
[ -r /usr/lib/clarateach/prompt.sh ] && . /usr/lib/clarateach/prompt.sh
