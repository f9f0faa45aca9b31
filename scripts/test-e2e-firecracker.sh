#!/usr/bin/env bash
# One class in the cloud, from the first call to nothing left, in eight steps with
# their times.
#
# Way: start -> create -> wait -> details -> terminal -> files -> delete -> verify
#      gone; before Google itself, or before the strict fake of it, whose VMs are
#      namespaces of this box with a real agent and real MicroVMs.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

fake='' project='' zone='' account='' seats=2 within=600

usage() {
  cat << HELP
Usage: scripts/test-e2e-firecracker.sh --fake [--seats N]
       scripts/test-e2e-firecracker.sh --project ID --zone ZONE --service-account MAIL [--seats N]

  --fake       before a fake of Google on this box: needs root and /dev/kvm
  --project, --zone, --service-account
               before Google: a VM is made there and paid for, some minutes. The
               snapshot is clara2-snapshot (scripts/setup-clara2-snapshot.sh), and
               the credentials are the application's default ones
  --seats N    seats of the class (default: $seats)

Ends with 0 if all went well. Whatever happens, the workshop is deleted; where that
is not possible, the last lines say what is left and how to remove it.
HELP
}

arguments=("$@")
while (($#)); do
  case $1 in
    --fake) fake=1 ;;
    --project) project=${2:?--project wants an id}; shift ;;
    --zone) zone=${2:?--zone wants a zone}; shift ;;
    --service-account) account=${2:?--service-account wants an address}; shift ;;
    --seats) seats=${2:?--seats wants a number}; shift ;;
    -h | --help) usage; exit ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done
[[ $seats =~ ^[1-9][0-9]?$ ]] || die "--seats wants a number up to 99, not '$seats'."
[[ -n $fake || (-n $project && -n $zone && -n $account) ]] ||
  die "Before what? --fake, or --project, --zone and --service-account." "See --help."
if [[ -n $fake ]]; then
  [[ -e /dev/kvm ]] || { echo "SKIPPED: test-e2e-firecracker: there is no /dev/kvm"; exit 0; }
  become_root "$0" "${arguments[@]}"
fi

ensure_rust
ensure_commands curl=curl python3=python3
[[ -z $fake ]] || ensure_runtime
cd "$TOP"
[[ -z $fake ]] || { scripts/fetch-firecracker.sh --tests && scripts/build-guest.sh --firecracker; }
step "building"
cargo build --locked --workspace --bins
bin=$CARGO_TARGET_DIR/debug
work=$(mktemp -d /var/tmp/clarateach-cloud-XXXXXX)
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
url=http://127.0.0.1:$port
export CLARATEACH_URL=$url CLARATEACH_TOKEN_FILE=$work/data/admin.token HOME=$work
server='' google='' id='' number=0 began=$SECONDS

# Usage: field NAME < JSON
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

# Usage: api METHOD PATH [BODY]
api() {
  curl --silent --show-error --fail-with-body --max-time 30 --request "$1" \
    --header "authorization: Bearer $(< "$CLARATEACH_TOKEN_FILE")" \
    --header 'content-type: application/json' ${3:+--data "$3"} "$url$2"
}

# Usage: now_does WHAT: closes the last step and opens the next
now_does() {
  local now=$SECONDS
  ((number == 0)) || printf '%s    done in %s%s\n' "$DIM" "$(took $((now - began)))" "$OFF"
  number=$((number + 1)) began=$now
  printf '%s%d/8%s %s\n' "$GREEN" "$number" "$OFF" "$1"
}

# Usage: until_says STATUS
until_says() {
  local said deadline=$((SECONDS + within)) before=''
  while said=$(api GET "/api/workshops/$id"); do
    [[ $(field status <<< "$said") != "$1" ]] || return 0
    [[ $(field status <<< "$said") != failed ]] || die "It failed: $(field reason <<< "$said")"
    [[ $(field reason <<< "$said") == "$before" ]] || note "${before:=$(field reason <<< "$said")}"
    before=$(field reason <<< "$said")
    ((SECONDS < deadline)) || die "It is not $1 after $within s: $before"
    sleep 1
  done
  return 1
}

finish() {
  local code=$?
  trap - EXIT INT TERM
  if ((code != 0)); then
    warn "failed in step $number"
    [[ -z $server ]] || tail -n 20 "$work/server.log" >&2
    if [[ -n $id ]] && ! { api DELETE "/api/workshops/$id" > /dev/null && until_says deleted; }; then
      warn "workshop $id may have left a VM:"
      note "gcloud compute instances list --filter labels.workshop=$id ${project:+--project $project}"
    fi
  fi
  [[ -z $server ]] || { kill "$server" 2> /dev/null && wait "$server" 2> /dev/null; } || true
  [[ -z $google ]] || { exec {ask}>&- && wait "$google" 2> /dev/null; } || true
  rm -rf "$work"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

now_does "start the control plane"
cloud=(--provisioner gcp)
if [[ -n $fake ]]; then
  mkfifo "$work/ask" "$work/answer"
  mkdir "$work/vms"
  CLARATEACH_IMAGES=$IMAGES CLARATEACH_FIRECRACKER_DIR=$CLARATEACH_CACHE/firecracker \
    "$bin/fake-google" "$work/vms" < "$work/ask" > "$work/answer" 2> "$work/google.log" &
  google=$!
  exec {ask}> "$work/ask" {answer}< "$work/answer"
  read -r endpoint <&"$answer"
  cloud+=(--gcp-project clarateach-test --gcp-endpoint "$endpoint"
    --gcp-service-account worker@clarateach-test.iam.gserviceaccount.com)
else
  cloud+=(--gcp-project "$project" --gcp-zone "$zone" --gcp-service-account "$account")
fi
"$bin/clarateach-server" serve --data-dir "$work/data" --listen "127.0.0.1:$port" "${cloud[@]}" \
  > "$work/server.log" 2>&1 &
server=$!
for ((tries = 0; ; tries++)); do
  curl --silent --fail "$url/api/health" > /dev/null && break
  if ((tries == 100)) || ! kill -0 "$server" 2> /dev/null; then die "The server does not start."; fi
  sleep 0.2
done

now_does "create a workshop of $seats seats"
made=$(api POST /api/workshops "{\"name\": \"End to end\", \"seats\": $seats, \"runtime\": \"firecracker\", \"ttl\": \"3600s\"}")
id=$(field id <<< "$made")
note "$id, code $(field code <<< "$made")"

now_does "wait until it runs"
until_says running

now_does "its details"
api GET "/api/workshops/$id" | python3 -c '
import json, sys
shop = json.load(sys.stdin)
for worker in shop["workers"]:
    print("   ", worker["name"], worker["address"], worker["zone"], worker["state"])
ready = [seat for seat in shop["seat_list"] if seat["state"] == "ready"]
print("   ", len(ready), "of", shop["seats"], "seats ready")
sys.exit(0 if len(ready) == shop["seats"] and shop["workers"] else 1)'

now_does "a terminal"
"$bin/clarateach" join --name "end to end" "$(field code <<< "$made")" > /dev/null
# shellcheck disable=SC2016 # the seat's shell expands it
said=$(printf 'echo the-kernel-is-$(uname -r)\nexit\n' | timeout 300 script -qec "$bin/clarateach attach" /dev/null)
grep -o 'the-kernel-is-[0-9][^[:space:]]*' <<< "$said" || die "The terminal did not answer: $said"

now_does "files"
seat=$(curl --silent --fail-with-body --max-time 30 --header 'content-type: application/json' \
  --data "{\"code\": \"$(field code <<< "$made")\", \"display_name\": \"files\"}" "$url/api/join")
files=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["gateway"]["files"])' <<< "$seat")
token=$(field token <<< "$seat")
# Not on a command line, which every user of the machine may read.
as_learner() { curl --silent --show-error --fail --max-time 120 --config <(printf 'header = "authorization: Bearer %s"\n' "$token") "$@"; }
as_learner --upload-file <(echo "end to end") "$files/hello.txt" > /dev/null
[[ $(as_learner "$files/hello.txt") == "end to end" ]] || die "The file is not what was written."

now_does "delete it"
api DELETE "/api/workshops/$id" > /dev/null
until_says deleted

now_does "nothing is left"
if [[ -n $fake ]]; then
  echo >&"$ask"
  read -r left <&"$answer"
  [[ $left == '{"disks":[],"vms":[]}' ]] || die "Left: $left"
else
  left=$(gcloud compute instances list --project "$project" --filter "labels.workshop=$id" --format 'value(name)')
  [[ -z $left ]] || die "Left: $left"
fi
id=''
printf '%s    done in %s%s\n' "$DIM" "$(took $((SECONDS - began)))" "$OFF"
