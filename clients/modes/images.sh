# shellcheck shell=bash
# The images of the upstreams. Sourced by clients/modes/run.

all=$registry_host/$project/all
base=projects/$project/locations/us-west1/repositories
# The upstreams of the page, in the order in which they are asked. Each has one image, under several tags of `web`.
upstreams=(main-repo secondary-repo1 secondary-repo2 test-repo)
# The upstream that serves each tag. Those after it have the tag too.
declare -A server_of=([1.0]=secondary-repo1 [2.0]=main-repo [3.0]=secondary-repo2 [4.0]=test-repo)

set_up() {
  api projects --data "{\"projectId\":\"$project\"}"
  create_account reader
  create_account adder
  crane auth login "$registry_host" --username oauth2accesstoken --password-stdin <owner-token
}
# new_image NAME: makes an image in NAME.tar.
new_image() {
  random_tar "layer-$1.tar" 30000
  image_tar "$1.tar" "example/$1:1" "layer-$1.tar"
}
# push_image REPOSITORY TAG…: pushes the image of the repository, and notes its digest and its id.
push_image() {
  local image=$registry_host/$project/$1/web tag
  crane push "$1.tar" "$image:$2"
  for tag in "${@:3}"; do crane tag "$image:$2" "$tag"; done
  crane digest "$image:$2" >"$1.digest"
  crane manifest "$image:$2" | jq -er .config.digest >"$1.id"
}
images_are_pushed() {
  local name pushed=$registry_host/$project/secondary-repo1/web:1.0
  for name in "${upstreams[@]}"; do new_image "$name"; done
  push_image main-repo 2.0
  push_image secondary-repo2 1.0 2.0 3.0
  push_image test-repo 1.0 2.0 3.0 4.0
  crane push test-repo.tar "$registry_host/$project/test-repo/corp/app:1.0"
  wait_for_dockerd
  docker login --username oauth2accesstoken --password-stdin "$registry_host" <owner-token
  docker load --quiet --input secondary-repo1.tar
  docker tag example/secondary-repo1:1 "$pushed"
  docker push --quiet "$pushed"
  crane tag "$pushed" 2.0
  crane digest "$pushed" >secondary-repo1.digest
  docker image inspect --format '{{.Id}}' "$pushed" >secondary-repo1.id
  docker rmi "$pushed" example/secondary-repo1:1
}
digest_of() { cat "$1.digest"; }
# expect_served IMAGE UPSTREAM: a pull of the image gets that of the upstream.
expect_served() { expect_equal "$(crane digest "$1")" "$(digest_of "$2")"; }
# status_of IMAGE REFERENCE: prints the status that a pull of the manifest gets. crane repeats a pull after a 502.
status_of() {
  curl --silent --output /dev/null --write-out '%{http_code}' --user "oauth2accesstoken:$(cat owner-token)" \
    "https://$registry_host/v2/${1#*/}/manifests/$2"
}
