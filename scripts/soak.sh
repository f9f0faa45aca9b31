#!/usr/bin/env bash
# Runs the storms: the same stories as the tests, for longer.
#
# Way: NAME -> its story with more cycles and a seed that is printed -> green, or
#      what was left and how to run just that again.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cycles=50 seed=''

usage() {
  cat << HELP
Usage: scripts/soak.sh [--cycles N] [--seed N] [NAME…]

  NAME         a storm; without one all of them, one after the other:
                 microvms   MicroVMs made, killed and removed at random, their
                            agent too; afterwards the host is as it was
  --cycles N   how often (default: $cycles; the tests do 5)
  --seed N     the chance of an earlier run, as it was printed
HELP
}

# Usage: storm_microvms; a story of agent/tests
storm_microvms() {
  local said
  said=$(mktemp)
  CLARATEACH_SOAK_CYCLES=$cycles CLARATEACH_SOAK_SEED=$seed \
    cargo test --manifest-path "$TOP/Cargo.toml" --locked -p clarateach-agent --test microvms -- \
    --exact leaks::a_storm_of_creates_kills_and_deletes_leaves_the_host_as_it_was \
    --nocapture 2>&1 | tee "$said" | grep -E '^(cycle|SKIPPED|error|test result|thread|not as)' || true
  if grep -q '^SKIPPED' "$said"; then
    warn "microvms: $(grep -m1 '^SKIPPED' "$said")"
  elif ! grep -q '^test result: ok' "$said"; then
    die "microvms failed after $(grep -c '^cycle' "$said") cycles: all it said is in $said" \
      "Again: scripts/soak.sh --cycles $cycles --seed $seed microvms"
  fi
  rm -f "$said"
}

arguments=("$@") names=()
while (($#)); do
  case $1 in
    --cycles) cycles=${2:?--cycles wants a number}; shift ;;
    --seed) seed=${2:?--seed wants a number}; shift ;;
    -h | --help) usage; exit ;;
    -*) usage >&2; exit 2 ;;
    *)
      declare -F "storm_$1" > /dev/null || die "There is no storm $1." "See --help."
      names+=("$1")
      ;;
  esac
  shift
done
[[ $cycles =~ ^[1-9][0-9]*$ ]] || die "--cycles wants a number, not $cycles"
[[ -z $seed || $seed =~ ^[0-9]+$ ]] || die "--seed wants a number, not $seed"
become_root "$0" "${arguments[@]}"
ensure_rust
seed=${seed:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
((${#names[@]})) || names=(microvms)
for name in "${names[@]}"; do
  began=$SECONDS
  step "$name: $cycles cycles, seed $seed"
  "storm_$name"
  note "$name: $(took $((SECONDS - began)))"
done
