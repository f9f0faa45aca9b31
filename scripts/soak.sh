#!/usr/bin/env bash
# Runs the storms: the same stories as the tests, for longer.
#
# Way: NAME -> its story with more cycles and a seed that is printed -> green, or
#      what was left and how to run just that again.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cycles='' seed=''
declare -A usual=([microvms]=50 [planes]=200 [kills]=20 [preemptions]=50)

usage() {
  cat << HELP
Usage: scripts/soak.sh [--cycles N] [--seed N] [NAME…]

  NAME         a storm; without one all of them, one after the other:
                 microvms   MicroVMs made, killed and removed at random, their
                            agent too; afterwards the host is as it was
                 planes     two control planes over one PostgreSQL, one of them
                            killed, stopped or cut off from it at random; nothing
                            is done twice, and the other takes over
                 kills      a server that is killed at every step of a class in
                            the cloud, on SQLite and on PostgreSQL: one VM for
                            one, and nothing left
                 preemptions  a class of ten in the cloud that Google takes away
                            and that comes back with its files, again and again
  --cycles N   how often (default: ${usual[microvms]} for microvms, ${usual[planes]} for planes,
               ${usual[kills]} for kills, ${usual[preemptions]} for preemptions)
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

# Usage: storm_planes; stories of e2e/tests. Cycle n has the seed of the storm and n, so that
# the seed of one that failed is a storm of one.
storm_planes() {
  local said
  said=$(mktemp)
  (ensure_postgres) || warn "PostgreSQL could not be installed"
  ensure_runtime
  (cd "$TOP" && cargo build --locked --workspace --bins)
  CLARATEACH_SOAK_CYCLES=$cycles CLARATEACH_SOAK_SEED=$seed CLARATEACH_IMAGES=$IMAGES \
    cargo test --manifest-path "$TOP/Cargo.toml" --locked --workspace --test planes -- \
    --exact storms::a_storm_of_schedules --ignored --nocapture 2>&1 | tee "$said" |
    grep -E '^(cycle|SKIPPED|error|test result|thread)' || true
  if grep -q '^SKIPPED' "$said"; then
    warn "planes: $(grep -m1 '^SKIPPED' "$said")"
  elif ! grep -q '^test result: ok' "$said"; then
    die "planes failed: all it said is in $said" "Again: scripts/soak.sh --cycles 1 --seed $(
      grep -oP '^cycle \d+, seed \K\d+' "$said" | tail -n 1
    ) planes"
  fi
  rm -f "$said"
}

# Usage: cloud_story NAME STORY WORDS; a story of e2e/tests/cloud, of which lines that begin with
# one of WORDS are for people.
cloud_story() {
  local said
  said=$(mktemp)
  ensure_runtime
  (cd "$TOP" && cargo build --locked --workspace --bins)
  CLARATEACH_SOAK_CYCLES=$cycles CLARATEACH_SOAK_SEED=$seed CLARATEACH_IMAGES=$IMAGES \
    cargo test --manifest-path "$TOP/Cargo.toml" --locked --workspace --test cloud -- \
    --exact "$2" --nocapture 2>&1 | tee "$said" |
    grep -E "^($3|SKIPPED|error|test result|thread)" || true
  if grep -q '^SKIPPED' "$said"; then
    warn "$1: $(grep -m1 '^SKIPPED' "$said")"
  elif ! grep -q '^test result: ok' "$said"; then
    die "$1 failed: all it said is in $said" "Again: scripts/soak.sh --cycles $cycles --seed $seed $1"
  elif grep -q '^slow: ' "$said"; then
    warn "$1: $(grep -c '^slow: ' "$said") took over 30 s: what was logged then is in $said"
    return
  fi
  rm -f "$said"
}

storm_kills() {
  local story=kills::the_server_may_die_at_any_step_of_a_class_in_the_cloud
  cloud_story kills "$story" 'seed|longest|slow'
  (ensure_postgres) || { warn "PostgreSQL could not be installed"; return; }
  CLARATEACH_TEST_DATABASE=postgres cloud_story kills "$story" 'seed|longest|slow'
}

storm_preemptions() {
  cloud_story preemptions \
    spot::a_class_on_a_spot_vm_survives_its_preemption_and_leaves_nothing '.*preemption'
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
[[ -z $cycles || $cycles =~ ^[1-9][0-9]*$ ]] || die "--cycles wants a number, not $cycles"
[[ -z $seed || $seed =~ ^[0-9]+$ ]] || die "--seed wants a number, not $seed"
become_root "$0" "${arguments[@]}"
ensure_rust
seed=${seed:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
((${#names[@]})) || names=(microvms planes kills preemptions)
asked=$cycles
for name in "${names[@]}"; do
  began=$SECONDS cycles=${asked:-${usual[$name]}}
  step "$name: $cycles cycles, seed $seed"
  "storm_$name"
  note "$name: $(took $((SECONDS - began)))"
done
