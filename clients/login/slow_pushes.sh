# shellcheck shell=bash
# Pushes that take longer than a token lives. Sourced by clients/login.

# slow_push NAME USER: pushes an image of its own by the slow way, until long after this check. The password is read.
slow_push() {
  local name=$1 docker=(env "DOCKER_CONFIG=$work/docker-$1" docker)
  random_tar "layer-$name.tar" 5000000
  image_tar "image-$name.tar" "$slow/team-one/slow/$name:1" "layer-$name.tar"
  docker load --quiet --input "image-$name.tar"
  "${docker[@]}" login --username "$2" --password-stdin "$slow"
  beside "slow-$name" "${docker[@]}" push "$slow/team-one/slow/$name:1"
}
slow_pushes_begin() {
  gcloud artifacts repositories create slow --repository-format=docker --location=us-east1
  may writer "$(email_of writer-account)" slow us-east1
  slow_push key _json_key <writer.json
  token_for 60 | slow_push token oauth2accesstoken
}
with_a_key_for_longer() {
  ended slow-key
  docker rmi "$slow/team-one/slow/key:1"
  DOCKER_CONFIG=$work/docker-key docker pull "$slow/team-one/slow/key:1"
}
with_a_token_for_longer() {
  ended slow-token 1
  grep -F 'use a service account key (_json_key_base64)' slow-token.log
}

