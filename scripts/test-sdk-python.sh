#!/usr/bin/env bash
# Tests the Python SDK: what is generated is current, lints, types, units and stories
# against a server of its own, and the package as a user gets it.
#
# Way: a locked environment in the cache -> checks -> a wheel -> a server with the
# containers runtime -> pytest -> a clean environment -> the README's example -> the same
# over TLS -> `down`.
#
# The programs are those of scripts/test.sh (stage build), or of the folder $BIN.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# shellcheck source=scripts/lib-clients.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib-clients.sh"

readonly SDK=$TOP/sdk/python
BIN=${BIN:-$CARGO_TARGET_DIR/debug}

checks() {
  step "what is generated is current"
  PYTHON=$dev/bin/python "$SDK/generate.sh" --check
  step "lints and types"
  "$dev/bin/ruff" check --quiet .
  "$dev/bin/ruff" format --check --quiet .
  "$dev/bin/mypy"
}

choose_port() {
  port=$("$dev/bin/python" -c 'import socket
with socket.create_server(("127.0.0.1", 0)) as one: print(one.getsockname()[1])')
}

# Usage: start_server SCHEME FLAG…
start_server() {
  local tries
  export CLARATEACH_URL=$1://127.0.0.1:$port CLARATEACH_TOKEN_FILE=$work/data/admin.token
  export CLARATEACH_SERVER_PID_FILE=$work/server.pid
  shift
  step "starting a server at $CLARATEACH_URL"
  # Without the lock: what the server starts may outlive this script.
  keep_serving --listen "127.0.0.1:$port" "$@" 9>&- &
  server=$!
  for ((tries = 0; tries < 300; tries++)); do
    if curl -fsS --insecure --noproxy '*' -o /dev/null "$CLARATEACH_URL/api/health" 2> /dev/null; then return; fi
    kill -0 "$server" 2> /dev/null || break
    sleep 0.1
  done
  tail -n 20 "$work/server.log" >&2
  die "The server did not start; its last lines are above."
}


# Also after a failure: everything that the server made goes with it.
clean_up() {
  local code=$?
  if [[ -n ${server-} ]]; then
    ((code == 0)) || tail -n 20 "$work/server.log" >&2
    stop_server
    "$BIN/clarateach-server" down --data-dir "$work/data" >&2 || code=1
  fi
  rm -rf "$work"
  exit "$code"
}

build() {
  step "the package"
  "$dev/bin/python" -m build --no-isolation --outdir "$work/dist" "$SDK" > "$work/build.log" 2>&1 ||
    { tail -n 20 "$work/build.log" >&2; die "The package was not built."; }
  # Tests run against what is installed, not against what lies here.
  "$dev/bin/pip" install -q --disable-pip-version-check --no-deps --target "$work/installed" "$work"/dist/*.whl
}

# As a user: from an empty folder, with the newest of everything the package asks for.
first_minutes() {
  local newest pip
  newest=$(python_environment newest newest.txt)
  step "the README's example from a clean environment"
  cp -a "$newest" "$work/clean"
  pip=("$work/clean/bin/python" -m pip --disable-pip-version-check)
  "${pip[@]}" install -q --no-deps --force-reinstall "$work"/dist/*.whl
  "${pip[@]}" check > /dev/null
  mkdir "$work/empty"
  {
    echo 'token = open(__import__("os").environ["CLARATEACH_TOKEN_FILE"]).read()'
    # The first example, as it stands.
    awk '/^```python$/ { on = 1; next } /^```$/ && on { exit } on' README.md |
      sed "s|http://127.0.0.1:8080|$CLARATEACH_URL|"
  } > "$work/empty/example.py"
  "$dev/bin/mypy" --strict --config-file= --cache-dir="$work/mypy" \
    --python-executable "$work/clean/bin/python" "$work/empty/example.py"
  (cd "$work/empty" && "$work/clean/bin/python" -I example.py)
  step "stories with the newest of everything"
  "${pip[@]}" install -q --require-hashes -r requirements/pytest.txt
  "$work/clean/bin/python" -m pytest -q
}

# The same server, beyond loopback's freedom: as the message of --listen says to make it.
over_tls() {
  stop_server
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 -subj /CN=clarateach \
    -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=IP:127.0.0.1 \
    -keyout "$work/key.pem" -out "$work/cert.pem" 2> /dev/null
  start_server https --tls-cert "$work/cert.pem" --tls-key "$work/key.pem"
  step "stories over TLS"
  CLARATEACH_CA_FILE=$work/cert.pem "$work/clean/bin/python" -m pytest -q tests/test_story_tls.py
}

become_root "$0" "$@"
(($# == 0)) || die "Usage: scripts/test-sdk-python.sh"
for program in clarateach-server clarateach-agent; do
  [[ -x $BIN/$program ]] || die "$BIN/$program is missing." "Build it with scripts/test.sh build, or say where it is with BIN."
done
[[ -e $IMAGES/current ]] || die "The learners' root filesystem is missing." "Make it with scripts/test.sh guest rootfs."
ensure_runtime
ensure_python_venv
ensure_commands openssl=openssl faketime=faketime
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
  die "python3 is $(python3 -V), and the SDK wants 3.10 or newer."
work=$(mktemp -d /var/tmp/clarateach-sdk-python-XXXXXX)
trap clean_up EXIT
trap 'exit 130' INT TERM
dev=$(python_environment dev dev.txt)
cd "$SDK"
checks
build
# The stories in Rust look at what is on the host: one of us at a time.
exec 9> /run/lock/clarateach-e2e
flock --nonblock 9 || { step "waiting for other stories to end"; flock 9; }
choose_port
start_server http
step "units and stories, with the oldest of everything"
PYTHONPATH=$work/installed "$dev/bin/python" -m pytest -q
first_minutes
over_tls
