# shellcheck shell=bash
# The prompt: who, where, on which git branch, and how the last command ended
# when it did not end well. No process is started for it, and PS1 is set only
# once: a virtual environment's name, or a learner's own taste, stays in it.
_ct_branch() {
  local dir=$PWD head
  _ct_on=
  while [ -n "$dir" ]; do
    if [ -r "$dir/.git/HEAD" ]; then
      IFS= read -r head < "$dir/.git/HEAD"
      case $head in
        'ref: refs/heads/'*) _ct_on=" (${head#ref: refs/heads/})" ;;
        ?*) _ct_on=" (${head:0:7})" ;;
      esac
      return
    fi
    dir=${dir%/*}
  done
}
_ct_prompt() {
  local code=$?
  _ct_failed=
  [ "$code" -ne 0 ] && _ct_failed="[$code] "
  _ct_branch
}
_ct_set_prompt() {
  local red='' green='' blue='' yellow='' off=''
  if [ "${TERM:-dumb}" != dumb ] && [ -z "${NO_COLOR-}" ]; then
    red='\[\e[1;31m\]' green='\[\e[1;32m\]' blue='\[\e[1;34m\]' yellow='\[\e[33m\]' off='\[\e[0m\]'
  fi
  PS1="${red}\${_ct_failed-}${off}${green}\u@\h${off}:${blue}\w${off}${yellow}\${_ct_on-}${off}\\$ "
}
_ct_set_prompt
unset -f _ct_set_prompt
PROMPT_COMMAND=_ct_prompt
