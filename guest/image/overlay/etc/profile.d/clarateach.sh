# shellcheck shell=bash disable=SC1091 # read by bash in the learner's machine
# Every login shell: UTF-8, the learner's own commands, Tab completion, and once the greeting.
export LANG="${LANG:-C.UTF-8}"
export EDITOR="${EDITOR:-nano}" PAGER="${PAGER:-less}" LESS="${LESS:--FRX}"
case ":$PATH:" in
  *":$HOME/.local/bin:"*) ;;
  *) PATH="$HOME/.local/bin:$PATH" ;;
esac
export PATH
# Also for a learner whose own .bashrc does not ask for it, and for root.
if [ -n "${BASH_VERSION-}" ] && [ -n "${PS1-}" ]; then . /usr/lib/clarateach/completion.sh; fi
if [ -n "${BASH_VERSION-}" ] && [ -z "${CLARATEACH_GREETED-}" ] && [ ! -e "$HOME/.hushlogin" ]; then
  case $- in
    *i*) export CLARATEACH_GREETED=1; . /usr/lib/clarateach/greeting.sh ;;
  esac
fi
