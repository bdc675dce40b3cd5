# shellcheck shell=bash
# Checks that run while others do. Sourced after suite.sh, in the work folder.

parallel_titles=() parallel_pids=()

# check_parallel TITLE COMMAND…: a check that runs while others do. It is counted when it has ended. wait_parallel waits
# until all have.
check_parallel() {
  local number=${#parallel_titles[@]}
  parallel_titles+=("$1")
  shift
  # Each check keeps a processor busy most of the time, so that more of them at once would not be quicker.
  [[ ${#parallel_pids[@]} -lt $(($(nproc) * 2)) ]] || count_ended
  # A process group of its own: the check and the processes that it started end by one signal.
  set -m
  (
    set +e
    (set -e; "$@") >"parallel-$number.log" 2>&1 </dev/null
    echo $? >"parallel-$number.status"
  ) &
  set +m
  parallel_pids[number]=$!
}
# count_ended: waits until at least one check has ended, and counts those that have.
count_ended() {
  local number before=${#parallel_pids[@]}
  while [[ ${#parallel_pids[@]} -eq $before ]]; do
    sleep 0.05
    for number in "${!parallel_pids[@]}"; do
      [[ -s parallel-$number.status ]] || continue
      check "${parallel_titles[number]}" parallel_result "$number"
      unset "parallel_pids[number]"
    done
  done
}
parallel_result() { cat "parallel-$1.log" && return "$(cat "parallel-$1.status")"; }
wait_parallel() { while [[ ${#parallel_pids[@]} -gt 0 ]]; do count_ended; done; }
# stop_parallel: ends the checks that still run.
stop_parallel() {
  local pid
  for pid in "${parallel_pids[@]}"; do kill -- "-$pid" 2>/dev/null || true; done
}
