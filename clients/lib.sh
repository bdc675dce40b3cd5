# shellcheck shell=bash disable=SC2034
# Helpers that `test`, the client suites and the benchmarks share: ports, waiting, processes, Debian's packages, built
# tools and servers. Sourcing this file starts nothing and changes no setting of the shell.
#
#   TEST_TOOLS       where built tools are kept (default ~/.cache/berth-tools)
#   TEST_SERVER_BIN  the server to test (default: built from this checkout)

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/clients/lib/packages.sh"
tools=${TEST_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/berth-tools}
# A suite gives its clients another home folder. Builds need the caches of this one.
real_home=$HOME
server_bin=${TEST_SERVER_BIN:-${CARGO_TARGET_DIR:-$root/target}/debug/berth}
# A relative CARGO_TARGET_DIR is relative to the checkout.
[[ $server_bin = /* ]] || server_bin=$root/$server_bin

# free_port: prints a port of 127.0.0.1 that nothing listens on.
free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# wait_for SECONDS COMMAND…: runs the command until it succeeds, and fails after so many seconds.
wait_for() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [[ $SECONDS -lt $end ]] || { echo "gave up waiting for: $*" >&2; return 1; }
    sleep 0.05
  done
}

# stop_process PID: asks the process to end, and kills it if it is still there after ten seconds.
stop_process() {
  kill "$1" 2>/dev/null || return 0
  for _ in $(seq 100); do
    kill -0 "$1" 2>/dev/null || return 0
    sleep 0.1
  done
  kill -9 "$1" 2>/dev/null || true
}

# --- servers

# build_server [FLAG…]: builds the server of this checkout, with flags for cargo.
build_server() { (cd "$root" && HOME=$real_home cargo build --quiet --package berth-server "$@"); }

# start_server FOLDER LOG ARGUMENT…: starts a server on a data folder. Sets server_pid.
start_server() {
  local folder=$1 log=$2
  shift 2
  "$server_bin" serve --data "$folder" "$@" >>"$log" 2>&1 &
  server_pid=$!
}
# wait_for_server FOLDER LOG: waits until the server $server_pid listens. Sets address to its HOST:PORT.
wait_for_server() {
  wait_for 30 server_address "$1" listen || { tail -n 25 "$2"; return 1; }
  address=$(server_address "$1" listen)
}
# server_address FOLDER listen|ops: prints where the server $server_pid listens. Fails until the server does.
server_address() { jq -er "select(.pid == $server_pid).$2" "$1"/run/*/addresses.json; }
stop_server() { stop_process "$server_pid"; }

# --- tools that are built

# go_tool NAME PACKAGE VERSION: prints the path of the tool, which is built when it is not there.
go_tool() {
  local folder=$tools/$1-$3
  if [[ ! -x $folder/$1 ]]; then
    echo "building $1 $3" >&2
    (cd / && HOME=$real_home GOBIN=$folder CGO_ENABLED=0 \
      GOFLAGS=-trimpath go install "$2@$3") >&2 || return 1
  fi
  echo "$folder/$1"
}

# go_tool_by_module NAME PACKAGE VERSION: like go_tool, for a module whose list of versions is not served everywhere.
# `go install` insists on that list; a module made for the purpose does not need it.
go_tool_by_module() {
  local folder=$tools/$1-$3 module
  if [[ ! -x $folder/$1 ]]; then
    echo "building $1 $3" >&2
    module=$(mktemp -d "${TMPDIR:-/tmp}/berth-module.XXXXXX")
    (
      cd "$module" || exit
      export CGO_ENABLED=0 GOFLAGS="-trimpath -mod=mod"
      run_go() { HOME=$real_home go "$@"; }
      run_go mod init example.com/tools && run_go get -tool "$2@$3" && run_go build -o "$folder/$1" "$2"
    ) >"$module/log" 2>&1 || { tail "$module/log" >&2; rm -rf "$module"; return 1; }
    rm -rf "$module"
  fi
  echo "$folder/$1"
}

# cargo_tool NAME VERSION: prints the folder with the program, which is built by the toolchain of this checkout when it
# is not there. The folder belongs into PATH: then `cargo deny` finds cargo-deny.
cargo_tool() {
  local folder=$tools/$1-$2
  if [[ ! -x $folder/bin/$1 ]]; then
    echo "building $1 $2, which takes some minutes" >&2
    # In a target folder of its own: this one has nothing that the tool could use.
    (cd "$root" && env -u CARGO_TARGET_DIR HOME="$real_home" \
      cargo install --quiet --locked --root "$folder" --version "$2" "$1") >&2 || return 1
  fi
  echo "$folder/bin"
}
