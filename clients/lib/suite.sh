# shellcheck shell=bash
# What every client suite needs: packages, tools, a server of its own, checks that count, and an end that leaves nothing.
#
#   TEST_TOOLS       where built tools are kept (default ~/.cache/berth-tools)
#   TEST_SERVER_BIN  the server to test (default: built from this checkout)
#
# A suite sources this file, calls `check WHAT COMMAND…` for each thing it looks at, and ends with `finish`.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/clients/packages.sh"
ensure_packages
suite=$(basename "$0")
tools=${TEST_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/berth-tools}
work=$(mktemp -d "${TMPDIR:-/tmp}/berth-$suite.XXXXXX")
passed=0 failed=0
# Clients must not find the machine's own credentials and settings; builds need its caches.
real_home=$HOME
export HOME=$work/home DOCKER_CONFIG=$work/docker-config
touch "$work/pids"
mkdir -p "$HOME" "$DOCKER_CONFIG" "$tools"

# Ends what was started, by its own pid, and removes what was written, however the suite ends.
cleanup() {
  local status=$?
  trap - EXIT
  if [[ $failed -gt 0 || $status -ne 0 ]] && [[ -s $work/server.log ]]; then
    echo "--- the end of the server's log:"
    tail -n 25 "$work/server.log"
  fi
  local pid
  while read -r pid; do stop_pid "$pid"; done <"$work/pids"
  # What these used ends after them.
  declare -F suite_cleanup >/dev/null && suite_cleanup
  rm -rf "$work"
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# ends_with_suite PID: remembered in a file, because a check runs in a subshell.
ends_with_suite() { echo "$1" >>"$work/pids"; }
stop_pid() {
  kill "$1" 2>/dev/null || return 0
  for _ in $(seq 100); do
    kill -0 "$1" 2>/dev/null || return 0
    sleep 0.1
  done
  kill -9 "$1" 2>/dev/null || true
}

# wait_for SECONDS COMMAND…: until it succeeds.
wait_for() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [[ $SECONDS -lt $end ]] || { echo "gave up waiting for: $*" >&2; return 1; }
    sleep 0.05
  done
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# check WHAT COMMAND…: counts, and shows what a failure said.
check() {
  local what=$1
  shift
  # A subshell with its own -e: `if` would switch it off.
  set +e
  (set -e; "$@") >"$work/output" 2>&1
  local status=$?
  set -e
  if [[ $status -eq 0 ]]; then
    passed=$((passed + 1))
    echo "ok      $what"
  else
    failed=$((failed + 1))
    echo "FAILED  $what (exit $status)"
    sed 's/^/        /' "$work/output" | tail -n 30
  fi
}

finish() {
  echo "$suite: $passed passed, $failed failed"
  [[ $failed -eq 0 && $passed -gt 0 ]] && exit 0
  echo "repeat with: clients/$suite"
  exit 1
}

# equal ACTUAL EXPECTED. What two commands that failed printed is equal too: nothing is never right.
equal() { [[ -n $1 && $1 == "$2" ]] || { echo "expected $2, got $1"; return 1; }; }
refused() { if "$@"; then echo "was not refused: $*"; return 1; fi; }

# go_tool NAME PACKAGE VERSION: prints the path of the built tool.
go_tool() {
  local folder=$tools/$1-$3
  if [[ ! -x $folder/$1 ]]; then
    echo "building $1 $3" >&2
    (cd / && HOME=$real_home GOBIN=$folder CGO_ENABLED=0 \
      GOFLAGS=-trimpath go install "$2@$3") >&2 || return 1
  fi
  echo "$folder/$1"
}

crane() { "$(go_tool crane github.com/google/go-containerregistry/cmd/crane v0.22.1)" "$@"; }
gcrane() { "$(go_tool gcrane github.com/google/go-containerregistry/cmd/gcrane v0.22.1)" "$@"; }
oras() { "$(go_tool oras oras.land/oras/cmd/oras v1.3.6)" "$@"; }
helm() { "$(go_tool helm helm.sh/helm/v3/cmd/helm v3.22.0)" "$@"; }
regctl() { "$(go_tool regctl github.com/regclient/regclient/cmd/regctl v0.11.7)" "$@"; }

server_bin=${TEST_SERVER_BIN:-${CARGO_TARGET_DIR:-$root/target}/debug/berth}

# server_start [ARGUMENT…]: a development server on free ports. Sets address (HOST:PORT) and server_pid.
server_start() { server_start_with --dev --listen 127.0.0.1:0 "$@"; }

# server_start_with ARGUMENT…: a server. Sets address (HOST:PORT), server_pid and data, its folder.
server_start_with() {
  [[ -n ${TEST_SERVER_BIN:-} ]] || server_build
  data=$(mktemp -d "$work/data.XXXXXX")
  "$server_bin" serve --data "$data" --ops-listen off "$@" >>"$work/server.log" 2>&1 &
  server_pid=$!
  ends_with_suite "$server_pid"
  wait_for 30 server_listen "$data" || { tail -n 25 "$work/server.log"; return 1; }
  address=$(server_listen "$data")
}

# server_again: the development server once more, on its folder and at its address.
server_again() {
  "$server_bin" serve --dev --data "$data" --listen "$address" --ops-listen off >>"$work/server.log" 2>&1 &
  server_pid=$!
  ends_with_suite "$server_pid"
  wait_for 30 server_listen "$data" || { tail -n 25 "$work/server.log"; return 1; }
}

berth() { "$server_bin" "$@"; }

# Where the server on a data folder listens; fails until it does.
server_listen() {
  jq -er "select(.pid == $server_pid).listen" "$1"/run/*/addresses.json
}

server_build() {
  (cd "$root" && HOME=$real_home cargo build --quiet --package server)
}

server_stop() { stop_pid "$server_pid"; }

# random_tar FILE BYTES: a layer with one file that does not compress.
random_tar() {
  local folder
  folder=$(mktemp -d "$work/tree.XXXXXX")
  openssl rand "$2" >"$folder/$(basename "$1" .tar)"
  tar --create --file="$1" --directory="$folder" .
  rm -rf "$folder"
}

# image_tar FILE TAG LAYER…: an image for `docker load`.
image_tar() {
  local file=$1 tag=$2 layers=() layer
  shift 2
  for layer in "$@"; do layers+=(--new_layer "$layer"); done
  crane append "${layers[@]}" --new_tag "$tag" --output "$file"
}
