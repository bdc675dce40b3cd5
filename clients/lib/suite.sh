# shellcheck shell=bash
# The frame of every client suite: a work folder, a server, checks that are counted, and an end that leaves nothing
# behind.
#
# A suite sources this file, calls `check TITLE COMMAND…` for each thing it tests, and ends with `finish`.
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
ensure_packages "${suite_programs[@]}"
suite=$(basename "$(dirname "$(realpath "$0")")")
# The folder of the suite.
# shellcheck disable=SC2034  # suites use it
here=$root/clients/$suite
work=$(mktemp -d "${TMPDIR:-/tmp}/berth-$suite.XXXXXX")
passed=0 failed=0
# Clients must not find the machine's own credentials and settings.
export HOME=$work/home DOCKER_CONFIG=$work/docker-config
touch "$work/pids"
mkdir -p "$HOME" "$DOCKER_CONFIG" "$tools"

# Ends the processes that the suite started, each by its own pid, and deletes the work folder, however the suite ends.
cleanup() {
  local status=$?
  trap - EXIT
  if [[ $failed -gt 0 || $status -ne 0 ]] && [[ -s $work/server.log ]]; then
    echo "--- the end of the server's log:"
    tail -n 25 "$work/server.log"
  fi
  local pid
  while read -r pid; do stop_process "$pid"; done <"$work/pids"
  # A suite ends here what those processes used.
  declare -F suite_cleanup >/dev/null && suite_cleanup
  rm -rf "$work"
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# stop_at_exit PID: notes a process that the suite has to end. The note is in a file, because a check runs in a
# subshell.
stop_at_exit() { echo "$1" >>"$work/pids"; }

# check TITLE COMMAND…: runs and counts a check, and shows what the command printed if it fails.
check() {
  local title=$1
  shift
  # A subshell with its own -e: `if` would switch it off.
  set +e
  (set -e; "$@") >"$work/check.log" 2>&1
  local status=$?
  set -e
  if [[ $status -eq 0 ]]; then
    passed=$((passed + 1))
    echo "ok      $title"
  else
    failed=$((failed + 1))
    echo "FAILED  $title (exit $status)"
    sed 's/^/        /' "$work/check.log" | tail -n 30
  fi
}

finish() {
  echo "$suite: $passed passed, $failed failed"
  [[ $failed -eq 0 && $passed -gt 0 ]] && exit 0
  echo "repeat with: clients/$suite/run"
  exit 1
}

# --- what a check expects

# expect_equal ACTUAL EXPECTED. Nothing is never right, because two commands that failed printed the same nothing.
expect_equal() { [[ -n $1 && $1 == "$2" ]] || { echo "expected $2, got $1"; return 1; }; }
# expect_text TEXT: standard input has the text. All of it is read, so that the program that writes it does not fail.
expect_text() { grep -F -- "$1" >/dev/null || { echo "the output has no text: $1"; return 1; }; }
# expect_output TEXT COMMAND…: the command succeeds and prints the text, on standard output or standard error.
expect_output() {
  local text=$1 output
  shift
  output=$("$@" 2>&1) || { echo "the command failed: $*: $output"; return 1; }
  echo "$output"
  expect_text "$text" <<<"$output"
}
# expect_refused TEXT COMMAND…: the command fails, with exit status $refusal_status where the suite sets one, and prints
# the text.
expect_refused() {
  local text=$1 output status=0
  shift
  output=$("$@" 2>&1) || status=$?
  echo "$output"
  [[ $status -ne 0 ]] || { echo "the command was not refused: $*"; return 1; }
  [[ $status -eq ${refusal_status:-$status} ]] || {
    echo "expected exit status $refusal_status, got $status: $*"
    return 1
  }
  expect_text "$text" <<<"$output"
}
# expect_failure COMMAND…: the command fails, whatever it prints.
expect_failure() { if "$@"; then echo "the command was not refused: $*"; return 1; fi; }

# --- clients

crane_path() { go_tool crane github.com/google/go-containerregistry/cmd/crane v0.22.1; }
gcrane_path() { go_tool gcrane github.com/google/go-containerregistry/cmd/gcrane v0.22.1; }
oras_path() { go_tool oras oras.land/oras/cmd/oras v1.3.6; }
helm_path() { go_tool helm helm.sh/helm/v3/cmd/helm v3.22.0; }
regctl_path() { go_tool regctl github.com/regclient/regclient/cmd/regctl v0.11.7; }
crane() { "$(crane_path)" "$@"; }
gcrane() { "$(gcrane_path)" "$@"; }
oras() { "$(oras_path)" "$@"; }
helm() { "$(helm_path)" "$@"; }
regctl() { "$(regctl_path)" "$@"; }
berth() { "$server_bin" "$@"; }

# --- the suite's server

# start_dev_server [ARGUMENT…]: starts a development server on a free port. Sets what start_suite_server sets.
start_dev_server() { start_suite_server --dev --listen 127.0.0.1:0 "$@"; }
# start_suite_server ARGUMENT…: starts a server with a new data folder. Sets data, server_pid and address (HOST:PORT).
start_suite_server() {
  [[ -n ${TEST_SERVER_BIN:-} ]] || build_server
  data=$(mktemp -d "$work/data.XXXXXX")
  start_server_on_data --ops-listen off "$@"
}
# start_server_on_data ARGUMENT…: starts a server with the data folder of the one before. The suite ends it.
start_server_on_data() {
  start_server "$data" "$work/server.log" "$@"
  stop_at_exit "$server_pid"
  wait_for_server "$data" "$work/server.log"
}

# random_tar FILE BYTES: makes a layer with one file that does not compress.
random_tar() {
  local folder
  folder=$(mktemp -d "$work/tree.XXXXXX")
  openssl rand "$2" >"$folder/$(basename "$1" .tar)"
  tar --create --file="$1" --directory="$folder" .
  rm -rf "$folder"
}
# image_tar FILE TAG LAYER…: makes an image for `docker load`.
image_tar() {
  local file=$1 tag=$2 layers=() layer
  shift 2
  for layer in "$@"; do layers+=(--new_layer "$layer"); done
  crane append "${layers[@]}" --new_tag "$tag" --output "$file"
}
