# shellcheck shell=bash
# Each way to sign in: with an account that only reads, with one that has no role, and with credentials that are
# disabled, revoked or expired.
# Sourced by clients/login/run.

# run_parallel COMMAND ARGUMENT…: runs the command with each argument, all at once, and prints the output of those that
# failed.
run_parallel() {
  local command=$1 argument status=0
  local -A pids
  shift
  for argument in "$@"; do
    (set -e; "$command" "$argument") >"parallel-$argument.log" 2>&1 &
    pids[$argument]=$!
  done
  for argument in "$@"; do
    wait "${pids[$argument]}" || { status=1; echo "--- $command $argument"; cat "parallel-$argument.log"; }
  done
  return "$status"
}

# sign_in WAY ACCOUNT: signs docker in, in a folder of its own.
sign_in() {
  local key=$work/$2.json
  use_folders "$1" "$2"
  case $1 in
  key | gcr.io) login _json_key <"$key" ;;
  key-base64) base64 "$key" | login _json_key_base64 ;;
  token) berth token --key "$key" | login oauth2accesstoken ;;
  gclouds-token) gcloud auth print-access-token | login oauth2accesstoken ;;
  impersonation)
    CLOUDSDK_CONFIG=$work/gcloud token_of "$(email_of "$2-account")" | login oauth2accesstoken
    ;;
  metadata-server)
    curl --silent --fail -H 'Metadata-Flavor: Google' "$metadata_url/token" | jq -r .access_token |
      login oauth2accesstoken
    ;;
  gclouds-helper) gcloud auth configure-docker "$registry_host" ;;
  standalone-helper) docker-credential-gcr configure-docker --registries="$registry_host" ;;
  esac
}
# use_folders WAY ACCOUNT: gives docker and gcloud folders of their own for the way to sign in. gcr.io is another host
# and repository.
use_folders() {
  export DOCKER_CONFIG=$work/docker-$1-$2 CLOUDSDK_CONFIG=$work/gcloud-$2 GOOGLE_APPLICATION_CREDENTIALS=$work/$2.json
  mkdir -p "$DOCKER_CONFIG"
  [[ $1 != gcr.io ]] || registry_host=gcr.io image=gcr.io/team-one/app:1 repository=us/repositories/gcr.io
}
repository=us-west1/repositories/images
# expect_denied PERMISSION COMMAND…: the command is refused because the account does not have the permission.
expect_denied() {
  expect_refused "denied: Permission \"artifactregistry.repositories.$1\" denied on resource \"projects/team-one/locations/$repository\" (or it may not exist)" \
    "${@:2}"
}

ways=(key key-base64 token gclouds-token impersonation gclouds-helper standalone-helper)
activate_all_accounts() {
  grant_role reader "$(email_of reader-account)" gcr.io us
  run_parallel activate_account reader stranger disabled
}
activate_account() { CLOUDSDK_CONFIG=$work/gcloud-$1 gcloud auth activate-service-account --key-file="$1.json"; }

check_readers() { run_parallel expect_only_pulls "${ways[@]}" gcr.io metadata-server; }
expect_only_pulls() {
  sign_in "$1" reader
  docker pull "$image"
  expect_denied uploadArtifacts docker push "$image"
}
# The metadata server has one account, which is a reader.
check_strangers() { run_parallel expect_no_access "${ways[@]}" gcr.io; }
expect_no_access() {
  sign_in "$1" stranger
  expect_denied downloadArtifacts docker pull "$image"
  expect_denied uploadArtifacts docker push "$image"
}

with_a_disabled_key() {
  local account key_id with_key=() way
  account=$(email_of disabled-account) key_id=$(jq -r .private_key_id disabled.json)
  run_parallel expect_signed_in "${ways[@]}"
  berth token --key disabled.json >disabled-token
  run_page "Taking it back" "keys disable"
  for way in "${ways[@]}"; do [[ $way = impersonation ]] || with_key+=("$way"); done
  run_parallel expect_signed_out "${with_key[@]}"
  expect_refused invalid_grant activate_account disabled
  # Impersonation used no key of the account.
  (use_folders impersonation disabled && docker pull "$image")
  run_page "Taking it back" "service-accounts disable"
  run_parallel expect_signed_out impersonation
  run_page "Taking it back" "keys delete"
  expect_refused 'authentication failed' login _json_key <disabled.json
}
expect_signed_in() {
  sign_in "$1" disabled
  docker pull "$image"
}
# expect_signed_out WAY: neither the credential that docker kept, or gets from a helper, works, nor a new login.
expect_signed_out() {
  use_folders "$1" disabled
  wait_for 10 expect_refused 'authentication failed' docker pull "$image"
  case $1 in
  *-helper) ;;
  impersonation) expect_refused 'Failed to impersonate' sign_in "$1" disabled ;;
  *) expect_refused 'authentication failed' sign_in "$1" disabled ;;
  esac
}
with_a_revoked_token() {
  local token
  use_folders revoked reader
  token=$(gcloud auth print-access-token)
  login oauth2accesstoken <<<"$token"
  docker pull "$image"
  run_page "Taking it back" revoke
  wait_for 10 expect_refused 'authentication failed' docker pull "$image"
  expect_refused 'authentication failed' login oauth2accesstoken <<<"$token"
}

# begin_expiry: makes a token that expires soon, and logs in with it.
begin_expiry() {
  token_for 20 >expired-token
  use_folders expired nobody
  login oauth2accesstoken <expired-token
}
# Each login asks the server, so that the wait ends when the token has expired.
with_an_expired_token() {
  wait_for 30 expect_expired login oauth2accesstoken <expired-token
  run_parallel expect_expired_for login pull helper gcr.io gcloud
}
# expect_expired COMMAND…: the command is refused because the token has expired.
expect_expired() { expect_refused 'the token has expired; sign in again, or use a service account key (_json_key_base64)' "$@"; }
expect_expired_for() {
  use_folders "$1" nobody
  export CLOUDSDK_AUTH_ACCESS_TOKEN_FILE=$work/expired-token
  case $1 in
  login | gcr.io) expect_expired login oauth2accesstoken <expired-token ;;
  pull) DOCKER_CONFIG=$work/docker-expired-nobody expect_expired docker pull "$image" ;;
  helper)
    gcloud auth configure-docker "$registry_host"
    expect_expired docker pull "$image"
    ;;
  gcloud)
    expect_refused UNAUTHENTICATED gcloud artifacts repositories describe images --location=us-west1 --project=team-one
    ;;
  esac
}
