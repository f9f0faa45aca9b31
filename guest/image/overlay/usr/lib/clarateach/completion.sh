# shellcheck shell=bash disable=SC1090,SC1091
# Tab completion, read at the first Tab: bash-completion is 2,300 lines, and a
# class starts a shell for every seat at once.
#
# Way: Tab -> the default completion is `_ct_first_tab` -> bash-completion takes
# its place and loads the command's -> 124 tells bash to ask again. Completions that learners bring call
# its functions by name: those names load it, too.
if [ -n "${BASH_COMPLETION_VERSINFO-}" ] || declare -F _ct_first_tab > /dev/null ||
  [ ! -r /usr/share/bash-completion/bash_completion ] || ! shopt -q progcomp; then
  return 0
fi
shopt -s extglob # as bash-completion does: what is typed must not change its meaning later
_ct_promised='_init_completion _get_comp_words_by_ref _filedir _known_hosts_real
  _completion_loader __load_completion __ltrim_colon_completions __git_ps1'
_ct_load_completion() {
  local IFS=$' \t\n' # a completion that called may have its own
  # Nothing of this may be left to call itself, should the file not be what it was.
  complete -r -D
  # shellcheck disable=SC2086 # many names
  unset -f _ct_load_completion _ct_first_tab $_ct_promised
  unset -v _ct_promised
  local own=${XDG_CONFIG_HOME:-$HOME/.config}/bash_completion
  if [ -r "$own" ]; then . "$own"; fi
  . /usr/share/bash-completion/bash_completion
}
_ct_first_tab() {
  _ct_load_completion
  # Asked again, bash tries the command's own completion only, not a new default.
  if complete -p -- "$1" || complete -p -- "${1##*/}"; then return 124; fi &> /dev/null
  _completion_loader "$@"
}
complete -D -F _ct_first_tab
for _ct_name in $_ct_promised; do
  eval "$_ct_name() { _ct_load_completion; $_ct_name \"\$@\"; }"
done
unset -v _ct_name
