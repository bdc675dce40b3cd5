# shellcheck shell=bash
# Pushes that take longer than a token lives. Sourced by clients/login/run.

# begin_slow_push NAME USER: begins to push an image by the slow host, in the background. Reads the password.
begin_slow_push() {
  local name=$1 docker=(env "DOCKER_CONFIG=$work/docker-$1" docker)
  random_tar "layer-$name.tar" 5000000
  image_tar "image-$name.tar" "$slow_host/team-one/slow/$name:1" "layer-$name.tar"
  docker load --quiet --input "image-$name.tar"
  "${docker[@]}" login --username "$2" --password-stdin "$slow_host"
  start_background "slow-$name" "${docker[@]}" push "$slow_host/team-one/slow/$name:1"
}
begin_slow_pushes() {
  gcloud artifacts repositories create slow --repository-format=docker --location=us-east1
  grant_role writer "$(email_of writer-account)" slow us-east1
  begin_slow_push key _json_key <writer.json
  token_for 60 | begin_slow_push token oauth2accesstoken
}
expect_slow_push_with_key() {
  expect_ended slow-key
  docker rmi "$slow_host/team-one/slow/key:1"
  DOCKER_CONFIG=$work/docker-key docker pull "$slow_host/team-one/slow/key:1"
}
expect_slow_push_refused_with_token() {
  expect_ended slow-token 1
  grep -F 'use a service account key (_json_key_base64)' slow-token.log
}

