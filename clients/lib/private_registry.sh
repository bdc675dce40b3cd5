# shellcheck shell=bash disable=SC2034
# A registry with accounts on a host as it is in real life, with TLS, and gcloud that is signed in as its owner. Sourced
# after suite.sh.
#
# The suite runs itself again in mount and network namespaces of its own, where the registry listens on port 443:
#
#   [[ ${1:-} = inside ]] || run_inside "${1:-sqlite}"
#   database=$2

. "$root/clients/lib/postgres.sh"
. "$root/clients/lib/private_hosts.sh"

registry_host=us-west1-docker.berth.test
project=team-one
more_hosts=()

# run_inside sqlite|postgres: runs the suite with `inside` and the database as its arguments, and exits with its status.
# The namespace has no network, so that tools have to be downloaded before.
run_inside() {
  local status=0
  case $1 in
  sqlite | postgres) ;;
  *) echo "the database must be sqlite or postgres, not $1" >&2; exit 2 ;;
  esac
  command -v gcloud >/dev/null || { echo "gcloud is not installed"; exit 1; }
  [[ -n ${TEST_SERVER_BIN:-} ]] || build_server
  # These would take precedence over the certificate of the suite.
  unset REQUESTS_CA_BUNDLE CURL_CA_BUNDLE SSL_CERT_FILE
  env HOME="$real_home" TEST_SERVER_BIN="$server_bin" unshare --mount --net "$here/run" inside "$1" &
  inner_suite=$!
  # The inner suite ends the processes that it started, however long that takes.
  # shellcheck disable=SC2317  # suite.sh calls it
  suite_cleanup() { kill "$inner_suite" 2>/dev/null || true; wait; }
  wait "$inner_suite" || status=$?
  exit "$status"
}

# start_private_registry sqlite|postgres: starts the registry, with the tables of $more_settings and under the names of
# more_hosts too, and sets gcloud up in the work folder, where owner-token has a token of the owner. stop_private_registry
# ends what the suite does not end itself.
start_private_registry() {
  cd "$work" || return
  start_private_hosts "$registry_host" "${more_hosts[@]}"
  make_certificate "$registry_host" "${more_hosts[@]}"
  export SSL_CERT_FILE=$work/ca.pem CURL_CA_BUNDLE=$work/ca.pem
  printf 'domains = ["berth.test"]\nexternal_url = "https://%s"\n[tls]\ncertificate = "%s"\nkey = "%s"\n' \
    "$registry_host" "$work/tls.pem" "$work/tls.key" >berth.toml
  echo "${more_settings:-}" >>berth.toml
  local database_arguments=() settings
  if [[ $1 = postgres ]]; then
    start_postgres
    database_arguments=(--database "$(new_postgres_database)")
  fi
  start_suite_server --config berth.toml --listen 127.0.0.1:443 "${database_arguments[@]}"

  # gcloud shows times of its own time zone. In a zone other than UTC, a mistake shows.
  export TZ=NPT-5:45
  export CLOUDSDK_CONFIG=$work/gcloud CLOUDSDK_CORE_PROJECT=$project CLOUDSDK_CORE_DISABLE_PROMPTS=1 \
    CLOUDSDK_CORE_DISABLE_USAGE_REPORTING=1 CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK=1 \
    CLOUDSDK_CORE_CHECK_GCE_METADATA=false CLOUDSDK_CORE_DISABLE_FILE_LOGGING=true \
    CLOUDSDK_AUTH_ACCESS_TOKEN_FILE=$work/owner-token
  settings=$(berth env --url "https://$registry_host" --ca ca.pem)
  eval "$settings"
  berth token --key "$data/owner-key.json" >owner-token
}
stop_private_registry() {
  stop_postgres
  stop_private_hosts
}

# api PATH [ARGUMENT…]: a request by curl, which sets things up faster than gcloud. clients/login/run uses gcloud.
api() {
  curl --silent --show-error --fail --cacert ca.pem -H "Authorization: Bearer $(cat owner-token)" \
    -H 'Content-Type: application/json' "https://$registry_host/v1/$1" "${@:2}"
}
# create_repository NAME LOCATION [FIELDS]: creates a repository for a check that is about something else.
create_repository() {
  api "projects/$project/locations/$2/repositories?repositoryId=$1" --data "$(jq -n '{format: "DOCKER"} + $fields' \
    --argjson fields "${3:-"{}"}")"
}
# create_account NAME: creates the account NAME-account, with a key in NAME-account.json and a token in NAME-token.
create_account() {
  api "projects/$project/serviceAccounts" --data "{\"accountId\":\"$1-account\"}"
  api "projects/$project/serviceAccounts/$(email_of "$1-account")/keys" --data '{}' |
    jq -er .privateKeyData | base64 --decode >"$1-account.json"
  berth token --key "$1-account.json" >"$1-token"
}
email_of() { echo "$1@$project.iam.gserviceaccount.com"; }
# as_account ACCOUNT COMMAND…: with its token.
as_account() { CLOUDSDK_AUTH_ACCESS_TOKEN_FILE=$work/$1-token "${@:2}"; }
# expect_json JSON EXPRESSION [ARGUMENT…]: jq finds the expression true of the JSON.
expect_json() { jq -e "${@:3}" "$2" <<<"$1" >/dev/null || { echo "not true: $2"; echo "of: $1"; return 1; }; }
