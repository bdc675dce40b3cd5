# shellcheck shell=bash
# docker on a virtual repository. Sourced by clients/modes/run.

docker_checks() {
  check "docker pulls each tag from the upstream that is asked first" docker_pulls_by_tag
  check "docker pulls by digest from every upstream" docker_pulls_by_digest
  check "docker does not pull a tag that no upstream has" expect_refused 'manifest unknown: Failed to fetch "9.9"' \
    docker pull "$all/web:9.9"
  check "docker push is refused at once" docker_does_not_push
}
# expect_pulled NAME UPSTREAM: docker pulls the image of the upstream.
expect_pulled() {
  docker pull --quiet "$1"
  expect_equal "$(docker image inspect --format '{{.Id}}' "$1")" "$(cat "$2.id")"
  docker rmi "$1"
}
docker_pulls_by_tag() {
  local tag
  docker rmi "$all/web:1.0"
  for tag in "${!server_of[@]}"; do expect_pulled "$all/web:$tag" "${server_of[$tag]}"; done
}
docker_pulls_by_digest() {
  local upstream
  for upstream in "${upstreams[@]}"; do expect_pulled "$all/web@$(digest_of "$upstream")" "$upstream"; done
}
# docker repeats a push for most of a minute when the error may pass, and prints "Retrying".
docker_does_not_push() {
  local name
  docker load --quiet --input main-repo.tar
  for name in "$all/web:1.0" "$all/new:1.0"; do
    docker tag example/main-repo:1 "$name"
    expect_refused "$no_pushes" timeout 30 docker push "$name" | tee push.log
    expect_failure grep Retrying push.log
  done
}
