# shellcheck shell=bash
# The ways to sign docker in. Sourced by clients/login.

docker_starts() {
  wait_for 60 docker info
  random_tar layer.tar 100000
  image_tar image.tar example/app:1 layer.tar
  docker load --quiet --input image.tar
  docker tag example/app:1 "$image"
}
push() { docker push "$image" && docker rmi "$image" && docker pull "$image"; }
login() { docker login --username "$1" --password-stdin "$host"; }
logout() { docker logout "$host"; }


with_a_key() {
  run_page "A service account's key" >said
  equal "$(grep -c 'Login Succeeded' said)" 2
  push
  logout
  base64 --wrap=0 writer.json | login _json_key_base64
  logout
  # As on Windows: the file redirected, its lines ended the other way.
  sed 's/$/\r/' writer.json >windows.json
  login _json_key <windows.json
  push
  logout
}
with_a_token() {
  run_page "A token" berth
  push
  logout
  run_page "A token" gcloud
  push
  logout
  docker login -u oauth2accesstoken -p "$(berth token --key writer.json)" "$host"
  docker pull "$image"
  logout
}
with_gclouds_helper() {
  run_page "A credential helper" gcloud
  jq -e --arg host "$host" '.credHelpers[$host] == "gcloud"' "$DOCKER_CONFIG/config.json"
  push
  rm "$DOCKER_CONFIG/config.json"
}
with_the_standalone_helper() {
  run_page "A credential helper" GOOGLE
  run_page "A credential helper" docker-credential-gcr
  jq -e --arg host "$host" '.credHelpers[$host] == "gcr"' "$DOCKER_CONFIG/config.json"
  push
  rm "$DOCKER_CONFIG/config.json"
}
as_nobody() {
  says 'Unauthenticated requests do not have permission' docker pull "$image"
}
everybody() {
  local member=allUsers role=roles/artifactregistry.reader
  run_page Everybody
  wait_for 10 docker pull "$image"
  says 'Unauthenticated requests do not have permission "artifactregistry.repositories.uploadArtifacts"' \
    docker push "$image"
  run_page "Taking it back" remove-iam-policy-binding
  wait_for 10 as_nobody
}
# docker tries again for most of a minute what may pass, and says so; of this it knows that it does not.
where_there_is_none() {
  export DOCKER_CONFIG=$work/docker-none
  login _json_key <"$data/owner-key.json"
  docker tag "$image" "$host/no-such-project/images/app:1"
  says 'name unknown: Project "no-such-project" not found' docker push "$host/no-such-project/images/app:1"
  docker tag "$image" "$host/team-one/imagse/app:1"
  says 'name unknown: Repository "imagse" not found' docker push "$host/team-one/imagse/app:1" >said
  refused grep Retrying said
  docker tag "$image" "$host/team-one/images:1"
  says 'Missing image name. Pushes should be of the form docker push HOST-NAME/PROJECT-ID/REPOSITORY/IMAGE' \
    docker push "$host/team-one/images:1" >said
  refused grep Retrying said
  logout
}
with_what_is_no_key() {
  says 'authentication failed' login _json_key <<<'{}'
  says 'authentication failed' login _json_key_base64 <<<'!!!'
  says 'authentication failed' login oauth2accesstoken <<<nonsense
  says 'authentication failed' login admin <<<admin
}

# --- impersonation

# token_of ACCOUNT[,…]: for the last of them, by way of those before.
token_of() { gcloud auth print-access-token --impersonate-service-account="$1"; }
may_make_tokens() {
  gcloud iam service-accounts add-iam-policy-binding "$2" --member="serviceAccount:$1" \
    --role=roles/iam.serviceAccountTokenCreator
}
by_impersonation() {
  says 'iam.serviceAccounts.getAccessToken' token_of "$(email_of writer-account)"
  run_page "On behalf of an account"
  push
  logout
  side_by_side owner_may_make_tokens_of reader stranger disabled
}
owner_may_make_tokens_of() { may_make_tokens "$owner" "$(email_of "$1-account")"; }
by_delegates() {
  local middle last
  middle=$(email_of stranger-account) last=$(email_of reader-account)
  says PERMISSION_DENIED token_of "$middle,$last"
  may_make_tokens "$middle" "$last"
  token_of "$middle,$last" | login oauth2accesstoken
  docker pull "$image"
  logout
}
# token_for SECONDS: an access token of the writer that is good for so long.
token_for() {
  curl --silent --fail --cacert ca.pem -H "Authorization: Bearer $(berth token --key "$data/owner-key.json")" \
    -H 'Content-Type: application/json' \
    --data "{\"scope\":[\"https://www.googleapis.com/auth/cloud-platform\"],\"lifetime\":\"$1s\"}" \
    "https://$host/v1/projects/-/serviceAccounts/$(email_of writer-account):generateAccessToken" | jq -er .accessToken
}
