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

# --- an image of one layer, in projects/bench/locations/us-west1

repositories=projects/bench/locations/us-west1/repositories
# create_repository ADDRESS NAME BODY
create_repository() {
  curl -sf -o /dev/null -H 'Content-Type: application/json' --data "$3" "http://$1/v1/$repositories?repositoryId=$2"
}
# make_layer MEBIBYTES: sets layer and config, the digests of an image's blobs.
make_layer() {
  layer_bytes=$(($1 << 20))
  head -c "$layer_bytes" /dev/urandom >"$work/layer"
  layer=sha256:$(sha256sum "$work/layer" | cut -d' ' -f1)
  config=sha256:$(printf '{}' | sha256sum | cut -d' ' -f1)
}
# push_image ADDRESS IMAGE: pushes the image of make_layer to bench/standard/IMAGE, as `latest`.
push_image() {
  local image=http://$1/v2/bench/standard/$2
  curl -sf -o /dev/null -X POST -H 'Content-Type: application/octet-stream' --data-binary '{}' \
    "$image/blobs/uploads/?digest=$config"
  curl -sf -o /dev/null -X POST -H "Content-Type: application/octet-stream" -T - \
    "$image/blobs/uploads/?digest=$layer" <"$work/layer"
  printf '{"schemaVersion":2,"mediaType":"%s","config":{"mediaType":"%s","digest":"%s","size":2},"layers":[{"mediaType":"%s","digest":"%s","size":%d}]}' \
    application/vnd.oci.image.manifest.v1+json application/vnd.oci.empty.v1+json "$config" \
    application/vnd.oci.image.layer.v1.tar "$layer" "$layer_bytes" |
    curl -sf -o /dev/null -X PUT -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' --data-binary @- \
      "$image/manifests/latest"
}
# create_remote ADDRESS NAME UPSTREAM: creates a remote repository of bench/standard of another Berth.
create_remote() {
  create_repository "$1" "$2" "{\"format\":\"DOCKER\",\"mode\":\"REMOTE_REPOSITORY\",
    \"remoteRepositoryConfig\":{\"commonRepository\":{\"uri\":\"http://$3/bench/standard\"}}}"
}
