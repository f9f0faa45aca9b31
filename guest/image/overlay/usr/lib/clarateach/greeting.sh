# shellcheck shell=bash
# What a learner reads first. `touch ~/.hushlogin` silences it.
_ct_greet() {
  local bold='' dim='' green='' off=''
  if [ -t 1 ] && [ "${TERM:-dumb}" != dumb ] && [ -z "${NO_COLOR-}" ]; then
    bold=$'\e[1m' dim=$'\e[2m' green=$'\e[1;32m' off=$'\e[0m'
  fi
  local title=${CLARATEACH_WORKSHOP:-}
  printf '%s\n' "${green}Welcome${title:+ to ${title}}!${off} This machine, ${bold}${HOSTNAME}${off}, is yours alone."
  printf '%s\n' \
    "  files   ${bold}~/workspace${off} ${dim}is what you and your teacher see in the file panel${off}" \
    "  edit    ${bold}nano${off} or ${bold}vim${off}   ${dim}run${off} ${bold}python3${off}${dim}, ${off}${bold}git${off}${dim}, ${off}${bold}make${off}   ${dim}install:${off} ${bold}sudo apt install …${off}" \
    "  leave   ${dim}just close the window: your shell keeps running and waits for you${off}" ''
}
_ct_greet
unset -f _ct_greet
