#!/usr/bin/env bash
# One box, one command: builds what is missing, starts the control plane and
# shows the way into a first class.
#
# Way: arguments -> what is missing is installed and built -> clarateach-server
# in DATA_DIR -> a demo workshop -> wait for Ctrl-C, then let the server drain.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

vmm=() seats=2 seats_said='' others=0 runtime=container listen=127.0.0.1:8080 cert='' key='' data=/var/lib/clarateach demo=1 down=''

usage() {
  cat << HELP
Usage: scripts/run.sh [options]     start, and stay until Ctrl-C
       scripts/run.sh --down        end and remove everything

  --seats N            seats of the demo workshop (default: $seats)
  --runtime NAME       what gives a seat its machine: container (the default
                       here: Linux namespaces, any machine) or firecracker (a
                       kernel of its own; needs /dev/kvm, and builds a guest
                       kernel the first time: some minutes)
  --listen HOST:PORT   where to answer (default: $listen). Anything but
                       loopback needs a certificate
  --tls-cert FILE      certificate chain, PEM
  --tls-key FILE       its private key, PEM
  --data-dir DIR       database, keys and seats (default: $data)
  --no-demo            make no demo workshop
  --down               end every workshop of DATA_DIR and remove it
  --help               this

Ctrl-C ends the server only: workshops and learners' shells live on, and the
next start finds them again. Needs root, or a user with sudo, and Rust.
HELP
}

parse() {
  while (($#)); do
    case $1 in
      --seats) seats=$(value "$@") seats_said=1; shift ;;
      --runtime) runtime=$(value "$@"); shift ;;
      --listen) listen=$(value "$@"); shift ;;
      --tls-cert) cert=$(value "$@"); shift ;;
      --tls-key) key=$(value "$@"); shift ;;
      --data-dir) data=$(value "$@"); shift ;;
      --no-demo) demo='' ;;
      --down) down=1 ;;
      -h | --help) usage; exit ;;
      *) die "Unknown: $1" "scripts/run.sh --help shows what there is." ;;
    esac
    shift
  done
  [[ $seats =~ ^[1-9][0-9]{0,5}$ ]] || die "--seats wants a number from 1, not '$seats'."
  [[ $runtime == container || $runtime == firecracker ]] ||
    die "--runtime is container or firecracker, not '$runtime'."
  [[ $listen =~ ^(\[[0-9a-fA-F:.]+\]|[^:]+):[0-9]{1,5}$ ]] && ((10#${listen##*:} <= 65535)) ||
    die "--listen wants HOST:PORT, not '$listen'."
  [[ -n $data ]] || die "--data-dir wants a directory."
  # Another working directory, as under a service manager, must mean the same place.
  data=$(realpath -m -- "$data")
  # How to say this directory again.
  again=scripts/run.sh
  [[ $data == /var/lib/clarateach ]] || again+=" --data-dir $data"
  [[ $data != / ]] || die "--data-dir must be a directory of its own."
  [[ -z $down ]] || return 0
  listen=${listen/#localhost:/127.0.0.1:}
  host=${listen%:*} port=${listen##*:}
  [[ $host == \[* || $host =~ ^[0-9.]+$ ]] || die "--listen wants an address of this machine, such as 0.0.0.0:8080, not the name '$host'."
  check_certificate
}

value() {
  (($# > 1)) && [[ $2 != --* ]] || die "$1 wants a value." "scripts/run.sh --help shows what there is."
  printf '%s' "$2"
}

# Join codes and tokens cross this connection: in clear only on loopback.
check_certificate() {
  if [[ -n $cert || -n $key ]]; then
    [[ -n $cert && -n $key ]] || die "--tls-cert and --tls-key go together."
    [[ -r $cert ]] || die "Cannot read the certificate $cert."
    [[ -r $key ]] || die "Cannot read the key $key."
    cert=$(realpath -- "$cert") key=$(realpath -- "$key")
  elif [[ ! $host =~ ^(127\.[0-9.]+|\[::1\])$ ]]; then
    local address
    address=$(hostname -I 2> /dev/null | cut -d' ' -f1) || true
    die "--listen $listen leaves this machine, so it needs a certificate. To make one:" \
      "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 90 \\" \
      "  -subj /CN=clarateach -addext basicConstraints=critical,CA:FALSE \\" \
      "  -addext subjectAltName=IP:${address:-YOUR.ADDRESS} -keyout key.pem -out cert.pem" \
      "scripts/run.sh --listen $listen --tls-cert cert.pem --tls-key key.pem"
  fi
}

# Told before minutes of building, in the words of somebody who can do something.
check_kvm() {
  [[ $runtime == firecracker ]] || return 0
  [[ -e /dev/kvm ]] || die "--runtime firecracker needs /dev/kvm, which this machine does not have." \
    "On a virtual machine, switch nested virtualization on; on your own, switch virtualization on in its firmware and load kvm_intel or kvm_amd." \
    "Or take --runtime container: the same classroom, without a kernel of its own a seat."
  : 2> /dev/null <> /dev/kvm || die "/dev/kvm does not open, even for root." "Another program may hold it, or this is a container without the device."
}

build() {
  ensure_runtime
  ensure_rust
  # Before the server, which has them in its binary.
  "$TOP/scripts/build-web.sh"
  step "building (the first time takes some minutes)"
  (cd "$TOP" && cargo build --locked --release -p clarateach-server -p clarateach-agent -p clarateach-cli)
  if [[ $runtime == container ]]; then
    "$TOP/scripts/build-guest.sh" --images "$IMAGES"
    return
  fi
  "$TOP/scripts/fetch-firecracker.sh"
  "$TOP/scripts/build-guest.sh" --images "$IMAGES" --firecracker
}

# Also without --runtime firecracker: workshops of an earlier start may need it.
find_firecracker() {
  local all=$CLARATEACH_CACHE/firecracker version
  [[ -e $all/current ]] || return 0
  version=$(< "$all/current")
  vmm=(--firecracker-bin "$all/$version/firecracker" --jailer-bin "$all/$version/jailer")
  # Only what the fetching script itself fell back to, and warned of.
  [[ ! -e $all/$version/known-holes ]] || vmm+=(--firecracker-accept "$version")
}

# Where people reach this server, and how curl does from here: by a name that the
# certificate has, but always to this machine.
find_address() {
  local dial=$host name
  case $host in 0.0.0.0 | '[::]') dial=127.0.0.1 ;; esac
  curl_here=(curl --silent --show-error --fail-with-body --max-time 10 --noproxy '*')
  if [[ -z $cert ]]; then
    url=http://$dial:$port
    return
  fi
  # A certificate for several names: the first is what the others are told.
  name=$(openssl x509 -in "$cert" -noout -ext subjectAltName | tail -n 1 |
    tr ',' '\n' | sed -nE 's/^ *(DNS|IP Address)://p' | grep -v '^\*' | head -n 1)
  [[ -n $name ]] || die "$cert names no host or address (subjectAltName): no client would accept it."
  [[ $name != *:* ]] || name="[$name]"
  url=https://$name:$port
  curl_here+=(--cacert "$cert" --connect-to "::$dial:$port")
}

# Usage: api METHOD PATH [BODY]: the answer on stdout
api() {
  "${curl_here[@]}" -X "$1" -H 'Content-Type: application/json' -H @<(
    printf 'Authorization: Bearer %s\n' "$(< "$data/admin.token")"
  ) ${3+--data "$3"} "$url$2"
}

# Two servers on one directory or port: the second would read the first one's
# answers as its own.
check_alone() {
  if [[ -e $data/server.lock ]] && ! flock --nonblock "$data/server.lock" true; then
    die "A server already runs on $data." "End it with Ctrl-C where it was started, or choose another --data-dir."
  fi
  if "${curl_here[@]}" --insecure -o /dev/null "$url/" 2> /dev/null || (($? == 22)); then
    die "Something already answers at $listen." "Choose another port with --listen."
  fi
}

start_server() {
  local tls=() runtimes=container
  [[ $runtime == container ]] || runtimes=container,$runtime
  [[ -z $cert ]] || tls=(--tls-cert "$cert" --tls-key "$key" --public-url "$url")
  mkdir -p "$(dirname "$data")"
  [[ -d $data ]] || mkdir -m 0700 "$data"
  log=$data/server.log
  # Bounded: one former log is kept, each start looks.
  [[ ! -e $log ]] || (($(stat -c %s "$log") < 16 << 20)) || mv "$log" "$log.1"
  # Its own session, so that Ctrl-C reaches it once and through us; and told to
  # drain should this script be killed.
  setsid setpriv --pdeathsig TERM "$CARGO_TARGET_DIR/release/clarateach-server" serve \
    --data-dir "$data" --listen "$listen" "${tls[@]}" --provisioner local \
    --runtime "$runtimes" "${vmm[@]}" --agent-bin "$CARGO_TARGET_DIR/release/clarateach-agent" --images "$IMAGES" \
    >> "$log" 2>&1 < /dev/null &
  server=$!
  local tries
  for ((tries = 0; tries < 300; tries++)); do
    if "${curl_here[@]}" -o /dev/null "$url/api/health" 2> /dev/null && kill -0 "$server" 2> /dev/null; then
      printf '%s\n' "$server" > "$data/server.pid"
      return
    fi
    kill -0 "$server" 2> /dev/null || break
    sleep 0.1
  done
  tail -n 15 "$log" >&2
  stop_server
  die "The server did not start; its last lines are above, all of them in $log."
}

# SIGTERM asks it to drain. It answers for its own deadline; ours is only the last resort.
stop_server() {
  kill -TERM "$server" 2> /dev/null || return 0
  local tries
  for ((tries = 0; tries < 600; tries++)); do
    kill -0 "$server" 2> /dev/null || break
    sleep 0.1
  done
  kill -KILL "$server" 2> /dev/null || true
  wait "$server" 2> /dev/null || true
  rm -f "$data/server.pid"
}

# Sets `workshop` to the newest one alive, making it if there is none.
ensure_demo() {
  local all
  all=$(api GET /api/workshops) || die "The server did not list its workshops: $all"
  workshop=$(jq -c '.workshops[0] // empty' <<< "$all")
  others=$(jq '[.workshops | length - 1, 0] | max' <<< "$all")
  [[ -n $workshop || -z $demo ]] || {
    workshop=$(api POST /api/workshops \
      "$(jq -nc --arg runtime "$runtime" --argjson seats "$seats" \
        '{name: "Demo", seats: $seats, runtime: $runtime}')") ||
      die "The demo workshop was refused: $(jq -r '.error.message // .' <<< "$workshop")"
  }
}

show_way_in() {
  local bin=$CARGO_TARGET_DIR/release pin='' code='' has
  [[ -z $cert ]] || pin=" --ca $cert"
  printf '\n%sClaraTeach is running at %s%s\n\n' "$BOLD" "$url" "$OFF"
  printf '  admin token   %s\n' "$data/admin.token"
  printf '  log           %s\n' "$log"
  if [[ -z $workshop ]]; then
    printf '  workshops     none\n'
  else
    code=$(jq -r .code <<< "$workshop")
    has=$(jq -r .seats <<< "$workshop")
    printf '  workshop      %s, %s seats (%s)\n' \
      "$(jq -r '"\(.id) \"\(.name)\""' <<< "$workshop")" "$has" "$(jq -r .runtime <<< "$workshop")"
    printf '  join code     %s%s%s\n' "$BOLD" "$code" "$OFF"
    ((others == 0)) || printf '  and %s more of earlier starts\n' "$others"
  fi
  # Short lines below, and no alias that a new shell would not know.
  printf '\n%sIn another terminal%s\n' "$BOLD" "$OFF"
  # shellcheck disable=SC2016 # the reader's own PATH
  printf '  export PATH=%s:$PATH\n' "$bin"
  # The token through a pipe: an argument would show it to everybody who runs ps.
  printf '%sAs the instructor%s\n' "$BOLD" "$OFF"
  printf '  sudo cat %s | clarateach login --server %s%s\n' "$data/admin.token" "$url" "$pin"
  printf '  clarateach workshop list\n'
  if [[ -n $workshop ]]; then
    printf '%sIn a browser%s: learners at the first, instructors at the second with the admin token\n' "$BOLD" "$OFF"
    printf '  %s/j/%s\n' "$url" "$code"
    printf '  %s/console\n' "$url"
    printf '%sIn a terminal, as a learner%s (~. on a new line leaves; the shell stays)\n' "$BOLD" "$OFF"
    printf '  clarateach join %s --name Ada --server %s%s\n' "$code" "$url" "$pin"
    printf '  clarateach attach\n'
  fi
  printf '\nCtrl-C ends the server; the seats live on. %s --down removes everything.\n\n' "$again"
  if [[ -n $workshop && -n $seats_said ]] && ((has != seats)); then
    warn "--seats $seats is for a new demo workshop; the one above was there already."
    note "Change it with: clarateach workshop update $(jq -r .id <<< "$workshop") --seats $seats"
  fi
}

# Says when the seats are there. A seat that is not must not hold up anything.
await_seats() {
  local began=$SECONDS said=$SECONDS now
  # A template is booted once for each image: where KVM emulates a guest's kernel
  # that alone takes most of a minute.
  while ((SECONDS - began < 300)); do
    now=$(api GET "/api/workshops/$(jq -r .id <<< "$workshop")" 2> /dev/null) || return 0
    case $(jq -r .status <<< "$now") in
      running) step "every seat answers"; return ;;
      provisioning) sleep 0.5 ;;
      *) break ;;
    esac
    if ((SECONDS - said >= 5)); then
      note "$(jq -r .reason <<< "$now") ($(took $((SECONDS - began))))"
      said=$SECONDS
    fi
  done
  warn "the workshop is $(jq -r '.status + ": " + .reason' <<< "$now")"
}

# Ctrl-C: what lives on is asked before the one who knows it goes.
drain() {
  trap '' INT TERM
  local alive
  printf '\n' >&2
  step "draining the server"
  alive=$(api GET /api/workshops 2> /dev/null |
    jq -r '.workshops[] | select(.status != "deleted") | "\(.id)  \(.name)  \(.seats) seats, \(.status)"') || alive=
  stop_server
  if [[ -n $alive ]]; then
    step "still running, with the learners' shells:"
    while IFS= read -r line; do note "$line"; done <<< "$alive"
    note "$again finds them again; $again --down ends them."
  else
    step "nothing is running any more"
  fi
  exit 0
}

take_down() {
  local pid binary=$CARGO_TARGET_DIR/release/clarateach-server
  if [[ ! -e $data ]]; then
    step "there is nothing at $data"
    return
  fi
  [[ -x $binary ]] || build
  if pid=$(cat "$data/server.pid" 2> /dev/null) && [[ $(readlink "/proc/$pid/exe") == */clarateach-server* ]]; then
    step "ending the server"
    server=$pid
    stop_server
  fi
  step "ending every workshop of $data"
  "$binary" down --data-dir "$data"
  rm -f "$data/server.log" "$data/server.log.1" "$data/server.pid"
  rmdir "$data" 2> /dev/null || [[ ! -e $data ]] || warn "left as it is, for it is not ours: $(find "$data" -mindepth 1 -maxdepth 1 | head -n 5 | paste -sd' ')"
  step "everything is gone"
}

parse "$@"
become_root "$0" "$@"
if [[ -n $down ]]; then
  take_down
  exit
fi
ensure_commands curl=curl jq=jq openssl=openssl
check_kvm
find_address
check_alone
build
find_firecracker
step "starting the server"
start_server
trap drain INT TERM
ensure_demo
show_way_in
[[ -z $workshop ]] || await_seats
# `wait` returns early for a trapped signal, and with its code when the server ends by itself.
wait "$server" || true
tail -n 5 "$log" >&2
rm -f "$data/server.pid"
die "The server ended by itself; its last lines are above, all of them in $log."
