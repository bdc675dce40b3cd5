# shellcheck shell=bash
# Names of other registries, which docker and containerd find in a repository of this one. Docker Hub and quay.io are
# stopped, so that nobody else can have served them. Sourced by clients/modes/run.

mirror_checks() {
  check "an image of the mirror's repository has a name that Docker Hub could have" mirror_has_image
  check "the page: docker pulls a name of Docker Hub from the mirror" page_pulls_from_mirror
  check "docker does not pull what everybody may not read" private_mirror_is_refused
  check "containerd starts" start_containerd "$registry_host" "https://$registry_host" "$work/ca.pem"
  check "the page: containerd pulls a name of docker.io from the mirror" page_containerd_mirror
  check "the page: containerd pulls a name of quay.io by a path" page_containerd_path
}

# The name that the page pulls. No remote repository is an upstream of `all`.
mirror_has_image() {
  local image=$registry_host/$project/main-repo/library/alpine
  new_image mirrored
  crane push mirrored.tar "$image:3"
  crane manifest "$image:3" | jq -er .config.digest >mirrored.id
  expect_failure curl --silent --cacert ca.pem "https://registry-1.docker.io/v2/"
}
page_pulls_from_mirror() {
  run_page Docker
  expect_equal "$(docker image inspect --format '{{.Id}}' alpine:3)" "$(cat mirrored.id)"
  docker rmi alpine:3
  docker pull "alpine@$(crane digest "$registry_host/$project/all/library/alpine:3")"
}
private_mirror_is_refused() {
  # No binding is left, so that other checks find the repository as it was.
  grant all reader
  docker rmi --force "$(cat mirrored.id)"
  expect_failure docker pull alpine:3
}
# containerd_host REGISTRY HEADING: makes containerd find a registry as the page says.
containerd_host() {
  local folder=$work/certs.d/$1
  mkdir -p "$folder"
  block_of "$page" "$2" toml | sed "s/\bHOST\b/$registry_host/" >"$folder/hosts.toml"
}
# expect_pulled_by_kubelet NAME: crictl pulls the mirrored image with credentials alone.
expect_pulled_by_kubelet() {
  expect_refused "$1" crictl pull "$1"
  crictl pull --creds "$(by_token)" "$1"
  expect_json "$(crictl images --output json)" '.images | length == 1 and .[0].id == $id' --arg id "$(cat mirrored.id)"
  crictl rmi --all
}
page_containerd_mirror() {
  containerd_host docker.io containerd
  expect_pulled_by_kubelet docker.io/library/alpine:3
}
page_containerd_path() {
  containerd_host quay.io "containerd without a mirror"
  expect_pulled_by_kubelet quay.io/library/alpine:3
  # Lists of `all` are checked later.
  api "$base/main-repo/packages/library%2Falpine" -X DELETE
}
