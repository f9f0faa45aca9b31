# shellcheck shell=bash
# The prompt: who, where, on which git branch, and how the last command ended
# when it did not end well. No process is started for it outside a repository.
_ct_branch() {
  local dir=$PWD head
  while [ -n "$dir" ]; do
    if [ -r "$dir/.git/HEAD" ]; then
      IFS= read -r head < "$dir/.git/HEAD"
      case $head in
        'ref: refs/heads/'*) printf ' (%s)' "${head#ref: refs/heads/}" ;;
        ?*) printf ' (%s)' "${head:0:7}" ;;
      esac
      return
    fi
    dir=${dir%/*}
  done
}
_ct_prompt() {
  local code=$? red='' green='' blue='' yellow='' off='' failed=''
  if [ "${TERM:-dumb}" != dumb ] && [ -z "${NO_COLOR-}" ]; then
    red='\[\e[1;31m\]' green='\[\e[1;32m\]' blue='\[\e[1;34m\]' yellow='\[\e[33m\]' off='\[\e[0m\]'
  fi
  [ "$code" -ne 0 ] && failed="${red}[${code}]${off} "
  PS1="${failed}${green}\u@\h${off}:${blue}\w${off}${yellow}\$(_ct_branch)${off}\\$ "
}
PROMPT_COMMAND=_ct_prompt
