# shellcheck shell=bash
# What the measurements share: registries that are started and stopped, and the figures of each. Sourced from the root.
. clients/lib.sh

work=$(mktemp -d "${BENCH_WORK:-/tmp}/berth-bench.XXXXXX")
declare -A pids addresses
cleanup() {
  for name in "${!pids[@]}"; do stop_process "${pids[$name]}"; done
  rm -rf "$work"
}
trap cleanup EXIT

# Builds Berth and the load generator.
build_release() {
  cargo build --release --quiet --package berth-server --package bench
  target=${CARGO_TARGET_DIR:-target}
  # shellcheck disable=SC2034 # both are for the scripts that source this
  load=$target/release/bench server_bin=$target/release/berth
  # Every registry logs errors only, because an access log costs each of them a different time.
  export BERTH_LOG_LEVEL=error
}

# start_berth NAME [FLAG…]: starts Berth as the registry NAME.
start_berth() {
  local name=$1
  start_server "$work/$name" "$work/$name.log" --listen 127.0.0.1:0 --ops-listen off "${@:2}"
  pids[$name]=$server_pid
  wait_for_server "$work/$name" "$work/$name.log"
  addresses[$name]=$address
}
stop_registry() {
  stop_process "${pids[$1]}"
  unset "pids[$1]"
}
# memory NAME FIELD: prints a field of /proc/PID/status of the registry, in MiB.
memory() { awk -v field="$2:" '$1 == field { print $2 / 1024 }' "/proc/${pids[$1]}/status"; }
# ticks NAME: prints the processor time of the registry, in ticks.
ticks() { awk '{ print $14 + $15 }' "/proc/${pids[$1]}/stat"; }
# The length of a measurement of requests, which a caller may set.
seconds=8
# gets NAME KEY PATH [ARGUMENT…]: records how many requests a second are answered, all of them with 200, and how many
# microseconds of processor time of the server each takes. Version 2.8 returns OCI images only to clients that accept
# them.
gets() {
  local name=$1 key=$2 url=http://${addresses[$1]}$3 report before
  local accept='application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json'
  shift 3
  before=$(ticks "$name")
  report=$(wrk -t1 -c32 -d"$seconds" -H "Accept: $accept" "$@" "$url")
  ! grep -q 'Non-2xx' <<<"$report" || { echo "$report" >&2; return 1; }
  awk -v key="$key" -v ticks=$(($(ticks "$name") - before)) -v hertz="$(getconf CLK_TCK)" '
    /requests in/ { print key "_cpu_us", ticks / hertz * 1e6 / $1 }
    /Requests\/sec/ { print key "_s", $2 }' <<<"$report" | record "$name"
}
# record NAME: adds the `key value` lines of standard input to the results of NAME.
record() { while read -r key value; do echo "$1 $key $value" >>"$work/results"; done; }
