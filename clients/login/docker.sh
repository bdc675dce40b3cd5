# shellcheck shell=bash
# The ways to sign docker in. Sourced by clients/login/run.

docker_starts() {
  wait_for 60 docker info
  random_tar layer.tar 100000
  image_tar image.tar example/app:1 layer.tar
  docker load --quiet --input image.tar
  docker tag example/app:1 "$image"
}
push_and_pull() { docker push "$image" && docker rmi "$image" && docker pull "$image"; }
login() { docker login --username "$1" --password-stdin "$registry_host"; }
logout() { docker logout "$registry_host"; }

with_a_key() {
  run_page "A service account's key" >logins.log
  expect_equal "$(grep -c 'Login Succeeded' logins.log)" 2
  push_and_pull
  logout
  base64 --wrap=0 writer.json | login _json_key_base64
  logout
  # As on Windows: the file is redirected, and its lines end with CR LF.
  sed 's/$/\r/' writer.json >windows.json
  login _json_key <windows.json
  push_and_pull
  logout
}
with_a_token() {
  run_page "A token" berth
  push_and_pull
  logout
  run_page "A token" gcloud
  push_and_pull
  logout
  docker login -u oauth2accesstoken -p "$(berth token --key writer.json)" "$registry_host"
  docker pull "$image"
  logout
}
with_gclouds_helper() {
  run_page "A credential helper" gcloud
  jq -e --arg host "$registry_host" '.credHelpers[$host] == "gcloud"' "$DOCKER_CONFIG/config.json"
  push_and_pull
  rm "$DOCKER_CONFIG/config.json"
}
with_the_standalone_helper() {
  run_page "A credential helper" GOOGLE
  run_page "A credential helper" docker-credential-gcr
  jq -e --arg host "$registry_host" '.credHelpers[$host] == "gcr"' "$DOCKER_CONFIG/config.json"
  push_and_pull
  rm "$DOCKER_CONFIG/config.json"
}
expect_nobody_pulls() {
  expect_refused 'Unauthenticated requests do not have permission' docker pull "$image"
}
everybody() {
  local member=allUsers role=roles/artifactregistry.reader
  run_page Everybody
  wait_for 10 docker pull "$image"
  expect_refused 'Unauthenticated requests do not have permission "artifactregistry.repositories.uploadArtifacts"' \
    docker push "$image"
  run_page "Taking it back" remove-iam-policy-binding
  wait_for 10 expect_nobody_pulls
}
# docker repeats a push for most of a minute when the error may pass, and prints "Retrying". These errors do not pass.
push_to_missing_targets() {
  export DOCKER_CONFIG=$work/docker-none
  login _json_key <"$data/owner-key.json"
  docker tag "$image" "$registry_host/no-such-project/images/app:1"
  expect_refused 'name unknown: Project "no-such-project" not found' docker push "$registry_host/no-such-project/images/app:1"
  docker tag "$image" "$registry_host/team-one/imagse/app:1"
  expect_refused 'name unknown: Repository "imagse" not found' docker push "$registry_host/team-one/imagse/app:1" |
    tee push.log
  expect_failure grep Retrying push.log
  docker tag "$image" "$registry_host/team-one/images:1"
  expect_refused 'Missing image name. Pushes should be of the form docker push HOST-NAME/PROJECT-ID/REPOSITORY/IMAGE' \
    docker push "$registry_host/team-one/images:1" | tee push.log
  expect_failure grep Retrying push.log
  logout
}
with_invalid_credentials() {
  expect_refused 'authentication failed' login _json_key <<<'{}'
  expect_refused 'authentication failed' login _json_key_base64 <<<'!!!'
  expect_refused 'authentication failed' login oauth2accesstoken <<<nonsense
  expect_refused 'authentication failed' login admin <<<admin
}

# --- impersonation

# token_of ACCOUNT[,…]: prints a token of the last account, by way of the accounts before it.
token_of() { gcloud auth print-access-token --impersonate-service-account="$1"; }
# allow_tokens ACCOUNT OF-ACCOUNT: lets the first account make tokens of the second.
allow_tokens() {
  gcloud iam service-accounts add-iam-policy-binding "$2" --member="serviceAccount:$1" \
    --role=roles/iam.serviceAccountTokenCreator
}
by_impersonation() {
  expect_refused 'iam.serviceAccounts.getAccessToken' token_of "$(email_of writer-account)"
  run_page "On behalf of an account"
  push_and_pull
  logout
  run_parallel allow_owner_tokens_of reader stranger disabled
}
allow_owner_tokens_of() { allow_tokens "$owner" "$(email_of "$1-account")"; }
by_delegates() {
  local middle last
  middle=$(email_of stranger-account) last=$(email_of reader-account)
  expect_refused PERMISSION_DENIED token_of "$middle,$last"
  allow_tokens "$middle" "$last"
  token_of "$middle,$last" | login oauth2accesstoken
  docker pull "$image"
  logout
}
# token_for SECONDS: prints an access token of the writer that is valid for so long.
token_for() {
  curl --silent --fail --cacert ca.pem -H "Authorization: Bearer $(berth token --key "$data/owner-key.json")" \
    -H 'Content-Type: application/json' \
    --data "{\"scope\":[\"https://www.googleapis.com/auth/cloud-platform\"],\"lifetime\":\"$1s\"}" \
    "https://$registry_host/v1/projects/-/serviceAccounts/$(email_of writer-account):generateAccessToken" | jq -er .accessToken
}
