#!/usr/bin/env bash
# Installs what is missing and runs every test there is.
#
# Way: one function a stage, in order; each runs although an earlier one failed,
# unless it needs what that one makes. The table at the end says how each ended,
# and the exit code is 0 only if none failed.
set -uo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Name and what it holds. Order is cheap first.
readonly STAGES=(
  "shell:scripts have no known mistakes (shellcheck)"
  "format:Rust and schema are formatted"
  "schema:the schema is tidy and breaks no client (buf), and docs/api.md is current"
  "deny:licences, sources and banned crates (cargo deny)"
  "clippy:no lint, in any target"
  "build:the programs that the stories run"
  "guest:the static guest binary"
  "rootfs:a learner's machine, and facts about it"
  "microvm:kernel and disks of MicroVMs, and firecracker"
  "unit:rules, and parts each by itself"
  "e2e:stories with real parts, in containers"
  "sdkpy:the Python SDK and its package, against a live server"
  "sdkts:the TypeScript SDK and its package, against a live server"
  "web:the browser's pages, in Chromium against a live server"
  "e2evm:the same stories in MicroVMs, and a class in the cloud"
  "worker:the disk of worker VMs, made; and an operator's eight steps with one"
)

usage() {
  cat << HELP
Usage: scripts/test.sh [STAGE…]

Runs all stages, or those named; root (or sudo) is needed for the machines.
HELP
  for stage in "${STAGES[@]}"; do printf '  %-8s %s\n' "${stage%%:*}" "${stage#*:}"; done
  printf '\nBuilds are kept in %s.\n' "$CLARATEACH_CACHE"
}

shell_stage() {
  git -C "$TOP" ls-files -z '*.sh' '.ci/run' | (cd "$TOP" && xargs -0 shellcheck -x)
}

format_stage() {
  local failed=0
  cargo fmt --all --check || failed=1
  (cd proto && "$BUF" format -d --exit-code) || failed=1
  return "$failed"
}

schema_stage() {
  cd proto || return
  "$BUF" lint && "$BUF" breaking --against baseline.binpb || return
  # What is not in the baseline is not protected, so nothing may stay outside it.
  "$BUF" build --exclude-source-info -o - | cmp -s - baseline.binpb ||
    die "The schema has grown since it was last accepted." \
      "Run scripts/accept-schema.sh and commit proto/baseline.binpb."
  docs/generate.py --check "$BUF"
}

deny_stage() {
  "$CARGO_DENY" --log-level error --all-features check --hide-inclusion-graph bans licenses sources
}

clippy_stage() { cargo clippy --locked --workspace --all-targets -- -D warnings; }

# The pages come first: the server looks for them when it is built.
build_stage() { scripts/build-web.sh && cargo build --locked --workspace --bins; }

guest_stage() { scripts/build-guest.sh --images "$IMAGES" --guest-only; }

rootfs_stage() {
  scripts/build-guest.sh --images "$IMAGES" --rootfs-only &&
    guest/image/check-rootfs.sh "$IMAGES/$(< "$IMAGES/current")"
}

# Without KVM there is nothing to make: the stories that need it say SKIPPED.
microvm_stage() {
  if ! : 2> /dev/null <> /dev/kvm; then
    echo "SKIPPED: MicroVM images: /dev/kvm does not open"
    return
  fi
  scripts/fetch-firecracker.sh --tests && scripts/build-guest.sh --images "$IMAGES" --firecracker-only
}

# Output is shown also of tests that passed: a test that cannot run here says
# SKIPPED, and the table at the end repeats it.
unit_stage() {
  CLARATEACH_TEST_IMAGES=$IMAGES CLARATEACH_FIRECRACKER_DIR=$CLARATEACH_CACHE/firecracker \
    cargo test --locked --workspace --exclude clarateach-e2e --no-fail-fast -- --show-output
  local first=$?
  on_postgres && return "$first"
}

# What keeps rows once more, on the other database.
on_postgres() {
  if ! compgen -G '/usr/lib/postgresql/*/bin/postgres' > /dev/null; then
    echo "SKIPPED: the store's tests on PostgreSQL: it is not installed"
    return
  fi
  export CLARATEACH_TEST_DATABASE=postgres
  local tests=(cargo test --locked --workspace --exclude clarateach-e2e --no-fail-fast)
  "${tests[@]}" --lib -- --show-output reconciler:: store:: || return
  "${tests[@]}" --test instructing --test joining --test keeping -- --show-output
}

# Stories that a stage leaves out, as libtest has it.
SKIP=()

# Usage: stories RUNTIME STORY…
# The whole workspace is named and its stories chosen by name: for one package
# alone cargo would build everything again, with other features.
stories() {
  local runtime=$1 story chosen=()
  shift
  for story in "$@"; do chosen+=(--test "$story"); done
  CLARATEACH_E2E_RUNTIME=$runtime CLARATEACH_IMAGES=$IMAGES \
    CLARATEACH_FIRECRACKER_DIR=$CLARATEACH_CACHE/firecracker \
    cargo test --locked --workspace --no-fail-fast "${chosen[@]}" -- --show-output "${SKIP[@]}"
}

e2e_stage() {
  stories container arrows class clients cloud command_line conformance crash egress fake_gce \
    gcp helping operators planes refusals survival
}

worker_stage() {
  local failed=0
  scripts/test-worker-disk.sh || failed=1
  scripts/test-e2e-firecracker.sh --fake || failed=1
  return "$failed"
}

# Without `clients` and `command_line`: what they speak is the agent's, whatever is behind it,
# and they take nine minutes where KVM emulates. Who stopped a VM, a class that rests, one on
# several VMs, a server that dies and a person's command line are the control plane's likewise,
# and told of containers.
e2evm_stage() {
  SKIP=(--skip hands:: --skip pauses:: --skip many:: --skip kills:: --skip direct:: --skip delayed::)
  stories firecracker class cloud crash egress refusals survival
}

sdkpy_stage() { scripts/test-sdk-python.sh; }

sdkts_stage() { scripts/test-sdk-typescript.sh; }

web_stage() { scripts/test-web.sh; }

# Usage: failed_tests LOG: the test's target and name, a line each
failed_tests() {
  sed 's/\x1b\[[0-9;]*m//g' "$1" | awk '
    /^ +Running / { target = $2 == "unittests" ? "unittests" : $2; gsub(/^.*\/|\.rs$/, "", target) }
    /^failures:$/ { listed = 1; names = ""; next }
    listed && /^    [A-Za-z0-9_:]+$/ { names = names target " " $1 "\n" }
    /^test result: / { printf "%s", names; listed = 0; names = "" }' | sort -u
}

# Usage: told_again STAGE LOG
# Where KVM emulates ring 0 guests lost memory now and then until their programs were kept from
# AVX (docs/next.md: this may go once some runs show nothing told again). There a few stories of
# MicroVMs, and nothing else, are told again, twice at most; what they said first stays.
told_again() {
  local stage=$1 log=$2 failed target name
  kvm_emulates || return
  failed=$(failed_tests "$log")
  [[ -n $failed ]] && (($(wc -l <<< "$failed") <= 4)) || return
  while read -r target name; do
    [[ $stage == e2evm || $target == microvms || $name == *micro_vm* ]] || return
  done <<< "$failed"
  cp "$log" "$log.first"
  while read -r target name; do
    tell_twice "$target" "$name" "$log" || return
    echo "RETRIED: $name failed once, in a MicroVM on a host that emulates KVM" | tee -a "$log.first"
  done <<< "$failed"
}

# Usage: tell_twice TARGET NAME LOG: until it passes, twice at most
tell_twice() {
  local try
  for try in 1 2; do
    note "telling $2 again ($try of 2)"
    if CLARATEACH_E2E_RUNTIME=firecracker CLARATEACH_IMAGES=$IMAGES CLARATEACH_TEST_IMAGES=$IMAGES \
      CLARATEACH_FIRECRACKER_DIR=$CLARATEACH_CACHE/firecracker \
      cargo test --locked --workspace --test "$1" -- --exact "$2" --show-output \
      < /dev/null 2>&1 | tee "$3" && grep -q '^test result: ok. 1 passed' "$3"; then
      return
    fi
  done
  return 1
}

# Stages whose work another one builds on.
needs() {
  case $1 in
    microvm) echo "guest rootfs" ;;
    unit | e2e | sdkpy | sdkts | web) echo "build guest rootfs" ;;
    e2evm | worker) echo "build guest rootfs microvm" ;;
    *) echo "" ;;
  esac
}

# Usage: prepare STAGE…: what these stages need and this machine lacks
prepare() {
  local stage part
  ensure_rust || return
  for part in rustfmt:cargo-fmt clippy:cargo-clippy; do
    command -v "${part#*:}" > /dev/null || rustup component add "${part%%:*}" >&2 ||
      die "${part#*:} is missing" "Install it with your Rust toolchain."
  done
  for stage in "$@"; do
    case $stage in
      shell) ensure_commands shellcheck=shellcheck ;;
      format) ensure_buf ;;
      schema) ensure_buf && ensure_commands python3=python3 ;;
      deny) ensure_cargo_deny ;;
      unit | e2e | e2evm) ensure_runtime && ensure_buf && PATH=${BUF%/*}:$PATH &&
        ensure_commands openssl=openssl litmus=litmus cadaver=cadaver rclone=rclone \
          losetup=mount diff=diffutils jq=jq curl=curl faketime=faketime &&
        { ensure_grpcurl || warn "without grpcurl its lines are not run"; } &&
        { (ensure_postgres) || warn "without PostgreSQL its tests say SKIPPED"; } ;;
      worker) ensure_runtime && ensure_commands curl=curl python3=python3 unshare=util-linux tar=tar ;;
      sdkpy) ensure_runtime && ensure_commands python3=python3 openssl=openssl faketime=faketime && ensure_python_venv ;;
    esac || return
  done
}

declare -A OUTCOME=()
declare -A TOOK=()

# Usage: run_stage NAME LOG
run_stage() {
  local name=$1 log=$2 began=$SECONDS need
  for need in $(needs "$name"); do
    if [[ ${OUTCOME[$need]:-passed} != passed ]]; then
      warn "$name is not run: $need failed"
      OUTCOME[$name]="not run" TOOK[$name]=0
      return
    fi
  done
  step "$BOLD$name$OFF"
  # A subshell, so that a stage can neither end the run nor move it elsewhere.
  if (cd "$TOP" && "${name}_stage") 2>&1 | tee "$log"; then
    OUTCOME[$name]=passed
  elif (cd "$TOP" && told_again "$name" "$log"); then
    OUTCOME[$name]=retried
  else
    OUTCOME[$name]=FAILED
    warn "$name failed"
  fi
  TOOK[$name]=$((SECONDS - began))
}

# What failed tests said, once more at the end, where it is found.
failures() {
  local name log said
  for name in "$@"; do
    case ${OUTCOME[$name]} in
      FAILED) log=$logs/$name ;;
      retried) log=$logs/$name.first ;;
      *) continue ;;
    esac
    said=$(grep -aE -A 4 "^thread '.*panicked at|^error(\[|:)|^test .* FAILED" "$log" | cut -c 1-300 | head -n 60)
    printf '\n%s%s%s said:\n%s\n' "$RED" "$name" "$OFF" "${said:-$(tail -n 15 "$log")}"
  done
}

summary() {
  local name colour skipped bad=0
  failures "$@"
  printf '\n%-10s %-8s %10s\n' stage result time
  for name in "$@"; do
    case ${OUTCOME[$name]} in passed | retried) colour=$GREEN ;; *) colour=$RED bad=1 ;; esac
    printf '%-10s %s%-8s%s %10s\n' "$name" "$colour" "${OUTCOME[$name]}" "$OFF" "$(took "${TOOK[$name]}")"
  done
  skipped=$(cat "$logs"/* 2> /dev/null | grep -aE '^(SKIPPED|RETRIED): ' | sort | uniq -c)
  if [[ -n $skipped ]]; then
    printf '\nNot run on this machine, or told again:\n%s\n' "$skipped"
  fi
  printf '\n%s in all\n' "$(took "$SECONDS")"
  return "$bad"
}

main() {
  local stage names=()
  case ${1-} in -h | --help) usage; return ;; esac
  for stage in "${STAGES[@]}"; do
    if (($# == 0)) || [[ " $* " == *" ${stage%%:*} "* ]]; then names+=("${stage%%:*}"); fi
  done
  if (($# > ${#names[@]})); then
    usage >&2
    return 2
  fi
  become_root "$0" "$@"
  logs=$(mktemp -d)
  trap 'rm -rf "$logs"' EXIT
  cd "$TOP" || return
  prepare "${names[@]}" || die "The tests cannot run: what they need is not there."
  for stage in "${names[@]}"; do run_stage "$stage" "$logs/$stage"; done
  summary "${names[@]}"
}

main "$@"
