# shellcheck shell=bash
# Each way to sign in, with an account that only reads, one that may nothing, and what is good no more.
# Sourced by clients/login.

# side_by_side COMMAND WAY…: for each of them at once; says what failed.
side_by_side() {
  local command=$1 way status=0
  local -A runs
  shift
  for way in "$@"; do
    (set -e; "$command" "$way") >"side-$way.log" 2>&1 &
    runs[$way]=$!
  done
  for way in "$@"; do
    wait "${runs[$way]}" || { status=1; echo "--- $command $way"; cat "side-$way.log"; }
  done
  return "$status"
}

# sign_in WAY ACCOUNT: docker, in a folder of its own.
sign_in() {
  local key=$work/$2.json
  folders_of "$1" "$2"
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
  gclouds-helper) gcloud auth configure-docker "$host" ;;
  standalone-helper) docker-credential-gcr configure-docker --registries="$host" ;;
  esac
}
# Where a way to sign in keeps what it has, and what it is for.
folders_of() {
  export DOCKER_CONFIG=$work/docker-$1-$2 CLOUDSDK_CONFIG=$work/gcloud-$2 GOOGLE_APPLICATION_CREDENTIALS=$work/$2.json
  mkdir -p "$DOCKER_CONFIG"
  [[ $1 != gcr.io ]] || host=gcr.io image=gcr.io/team-one/app:1 repository=us/repositories/gcr.io
}
repository=us-west1/repositories/images
# denied PERMISSION COMMAND…
denied() {
  says "denied: Permission \"artifactregistry.repositories.$1\" denied on resource \"projects/team-one/locations/$repository\" (or it may not exist)" \
    "${@:2}"
}

ways=(key key-base64 token gclouds-token impersonation gclouds-helper standalone-helper)
gcloud_as_everybody() {
  may reader "$(email_of reader-account)" gcr.io us
  side_by_side gcloud_as reader stranger disabled
}
gcloud_as() { CLOUDSDK_CONFIG=$work/gcloud-$1 gcloud auth activate-service-account --key-file="$1.json"; }

as_readers() { side_by_side as_a_reader "${ways[@]}" gcr.io metadata-server; }
as_a_reader() {
  sign_in "$1" reader
  docker pull "$image"
  denied uploadArtifacts docker push "$image"
}
# The metadata server speaks for one account, which reads.
as_strangers() { side_by_side as_a_stranger "${ways[@]}" gcr.io; }
as_a_stranger() {
  sign_in "$1" stranger
  denied downloadArtifacts docker pull "$image"
  denied uploadArtifacts docker push "$image"
}

with_a_disabled_key() {
  local account key_id with_key=() way
  account=$(email_of disabled-account) key_id=$(jq -r .private_key_id disabled.json)
  side_by_side signed_in_before "${ways[@]}"
  berth token --key disabled.json >disabled-token
  run_page "Taking it back" "keys disable"
  for way in "${ways[@]}"; do [[ $way = impersonation ]] || with_key+=("$way"); done
  side_by_side signed_out "${with_key[@]}"
  says invalid_grant gcloud_as disabled
  # No key of the account was used for this.
  (folders_of impersonation disabled && docker pull "$image")
  run_page "Taking it back" "service-accounts disable"
  side_by_side signed_out impersonation
  run_page "Taking it back" "keys delete"
  says 'authentication failed' login _json_key <disabled.json
}
signed_in_before() {
  sign_in "$1" disabled
  docker pull "$image"
}
# What docker kept, or gets from a helper, and signing in anew.
signed_out() {
  folders_of "$1" disabled
  wait_for 10 says 'authentication failed' docker pull "$image"
  case $1 in
  *-helper) ;;
  impersonation) says 'Failed to impersonate' sign_in "$1" disabled ;;
  *) says 'authentication failed' sign_in "$1" disabled ;;
  esac
}
with_a_revoked_token() {
  local token
  folders_of revoked reader
  token=$(gcloud auth print-access-token)
  login oauth2accesstoken <<<"$token"
  docker pull "$image"
  run_page "Taking it back" revoke
  wait_for 10 says 'authentication failed' docker pull "$image"
  says 'authentication failed' login oauth2accesstoken <<<"$token"
}

# A token for a while, and a login with it.
tokens_begin_to_expire() {
  token_for 20 >expired-token
  folders_of expired nobody
  login oauth2accesstoken <expired-token
}
# Until it has expired, and no longer: a login asks the server.
with_an_expired_token() {
  wait_for 30 expired login oauth2accesstoken <expired-token
  side_by_side expired_for login pull helper gcr.io gcloud
}
expired() { says 'the token has expired; sign in again, or use a service account key (_json_key_base64)' "$@"; }
expired_for() {
  folders_of "$1" nobody
  export CLOUDSDK_AUTH_ACCESS_TOKEN_FILE=$work/expired-token
  case $1 in
  login | gcr.io) expired login oauth2accesstoken <expired-token ;;
  pull) DOCKER_CONFIG=$work/docker-expired-nobody expired docker pull "$image" ;;
  helper)
    gcloud auth configure-docker "$host"
    expired docker pull "$image"
    ;;
  gcloud)
    says UNAUTHENTICATED gcloud artifacts repositories describe images --location=us-west1 --project=team-one
    ;;
  esac
}
