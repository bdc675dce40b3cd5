# shellcheck shell=bash
# A Docker daemon of the suite's own. Sourced after suite.sh.

# start_dockerd [SETTINGS]: starts the daemon, with settings in JSON, and sets DOCKER_HOST to it. wait_for_dockerd waits
# until it answers.
start_dockerd() {
  echo "${1:-"{}"}" >"$work/dockerd.json"
  export DOCKER_HOST=unix://$work/docker.sock
  dockerd --config-file "$work/dockerd.json" --data-root "$work/dockerd" --exec-root "$work/exec" \
    --pidfile "$work/dockerd.pid" --host "$DOCKER_HOST" --bridge none --iptables=false --ip6tables=false \
    >"$work/dockerd.log" 2>&1 &
  stop_at_exit $!
}
wait_for_dockerd() { wait_for 60 docker info || { tail "$work/dockerd.log"; return 1; }; }
