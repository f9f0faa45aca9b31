#!/usr/bin/env bash
# What the tests and figures of clients share: Node, Python, packages, and a server of
# their own with containers. Sourced after lib.sh, never run.
# shellcheck disable=SC2154 # `work` is whoever sources this's

# Node 20.18.1 or newer, as one of the dependencies asks: the machine's, or one from npm in the cache.
ensure_node() {
  local version=20.20.2 dir arch
  ensure_commands npm=npm
  ! is_new_enough || return 0
  case $(uname -m) in
    x86_64) arch=x64 ;;
    aarch64) arch=arm64 ;;
    *) die "Node 20.18.1 or newer is missing." "Install it from https://nodejs.org." ;;
  esac
  dir=$CLARATEACH_CACHE/tools/node-$version
  if [[ ! -x $dir/node_modules/node-linux-$arch/bin/node ]]; then
    step "installing Node $version"
    npm install --prefix "$dir" --ignore-scripts --no-audit --no-fund --loglevel=error \
      "node-linux-$arch@$version" >&2
  fi
  # npm itself starts with whatever node comes first.
  export PATH=$dir/node_modules/node-linux-$arch/bin:$PATH
  hash -r
  is_new_enough || die "Node from npm does not run here: $(node --version 2>&1)"
}

is_new_enough() {
  local have
  have=$(node --version 2> /dev/null) && printf 'v20.18.1\n%s\n' "$have" | sort --check --version-sort 2> /dev/null
}

# What the lock names, and nothing again that is there already.
install_dependencies() {
  local stamp=node_modules/.clarateach-lock
  ! cmp -s package-lock.json "$stamp" || return 0
  step "installing what package-lock.json names"
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
  cp package-lock.json "$stamp"
}

# Usage: python_environment NAME LOCK: prints where it is; made anew when the lock changes
python_environment() {
  local lock=$TOP/sdk/python/requirements/$2 dir sum
  sum=$(cat <(python3 -V) "$lock" | sha256sum)
  dir=$CLARATEACH_CACHE/tools/sdk-python-$1-${sum:0:12}
  if [[ ! -e $dir/complete ]]; then
    step "making the Python environment $1"
    rm -rf "$dir"
    python3 -m venv "$dir" >&2
    "$dir/bin/pip" install -q --disable-pip-version-check --require-hashes -r "$lock" >&2
    touch "$dir/complete"
  fi
  printf '%s' "$dir"
}

# The programs that stories run, in $BIN.
find_programs() {
  local program
  for program in clarateach-server clarateach-agent; do
    [[ -x $BIN/$program ]] || die "$BIN/$program is missing." "Run cargo build --workspace, or say where it is with BIN."
  done
  [[ -e $IMAGES/current ]] || die "The root filesystem is missing." "Run scripts/build-guest.sh."
}

free_port() {
  node -e 'const s = require("node:net").createServer();
    s.listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })'
}

# A server in $work, and another one whenever a test ends it: the story of a restart makes
# server.pid.again before. Usage: keep_serving FLAG… & server=$!
keep_serving() {
  local serving
  trap - EXIT
  while :; do
    "$BIN/clarateach-server" serve --data-dir "$work/data" --provisioner local --runtime container \
      --agent-bin "$BIN/clarateach-agent" --images "$IMAGES" "$@" \
      >> "$work/server.log" 2>&1 < /dev/null &
    serving=$!
    echo "$serving" > "$work/server.pid"
    wait "$serving" || true
    rm "$work/server.pid.again" 2> /dev/null || return 0
  done
}

# Who ends a whole group ends `keep_serving` at once and the server when it has drained, which
# is waited for: until then the data is its own.
stop_server() {
  local pid tries
  # Too early for one of its own: whoever would start it ends instead.
  pid=$(cat "$work/server.pid" 2> /dev/null) || pid=$server
  kill -TERM "$pid" 2> /dev/null || true
  wait "$server" 2> /dev/null || true
  for ((tries = 0; tries < 600; tries++)); do
    kill -0 "$pid" 2> /dev/null || return 0
    sleep 0.1
  done
  kill -KILL "$pid" 2> /dev/null || true
}

# Starts a server of its own in $work. Usage: start_server SECONDS (that seat tokens live) [FLAG…]
# In a flag, @URL@ is where it will be.
start_server() {
  local tokens=$1 port tries
  shift
  port=$(free_port)
  url=http://127.0.0.1:$port
  keep_serving --listen "127.0.0.1:$port" --seat-token-ttl "${tokens}s" "${@//@URL@/$url}" &
  server=$!
  for ((tries = 0; tries < 300; tries++)); do
    if curl --silent --fail --noproxy '*' --max-time 5 -o /dev/null "$url/api/health"; then
      export CLARATEACH_URL=$url CLARATEACH_TOKEN_FILE=$work/data/admin.token
      export CLARATEACH_SEAT_TOKEN_SECONDS=$tokens CLARATEACH_SERVER_PID_FILE=$work/server.pid
      return
    fi
    kill -0 "$server" 2> /dev/null || break
    sleep 0.1
  done
  die "The server did not start; it said:" "$(tail -n 15 "$work/server.log")"
}

# Whatever came before: nothing is left.
clean_up() {
  local code=$?
  trap - EXIT
  if [[ -n ${server-} ]]; then
    stop_server
    ((code == 0)) || { warn "the end of the server's log:" && tail -n 20 "$work/server.log" >&2; }
    "$BIN/clarateach-server" down --data-dir "$work/data" > "$work/down.log" 2>&1 ||
      {
        warn "down failed, and what it needs stays in $work:"
        cat "$work/down.log" >&2
        exit 1
      }
  fi
  rm -rf "$work"
  exit "$code"
}

# The SDK as others import it. In a subshell: the caller stays where it is.
build_sdk() (
  cd "$TOP/sdk/typescript" || return
  install_dependencies
  step "building the TypeScript SDK"
  npm run --silent build
)
