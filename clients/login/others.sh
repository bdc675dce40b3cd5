# shellcheck shell=bash
# Programs other than docker that sign in, and hosts like Google's. Sourced by clients/login/run.

metadata_url=http://127.0.0.1:8080/computeMetadata/v1/instance/service-accounts/default
metadata_server() {
  expect_failure curl --silent --fail "$metadata_url/token"
  expect_failure curl --silent --fail -H 'Metadata-Flavor: Google' -H 'X-Forwarded-For: 10.0.0.1' "$metadata_url/token"
  curl --silent --fail -H 'Metadata-Flavor: Google' "$metadata_url/email" | grep -x "$(email_of metadata)"
  export CLOUDSDK_CONFIG=$work/gcloud-metadata CLOUDSDK_CORE_CHECK_GCE_METADATA=true
  run_page "A metadata server" >token.json
  jq -e .access_token token.json
  gcloud auth list --format='value(account)' | grep -x "$(email_of metadata)"
  gcloud artifacts repositories describe images --location=us-west1 --project=team-one --format='value(format)' |
    grep -x DOCKER
}
metadata_for_google_auth() {
  GCE_METADATA_HOST=127.0.0.1:8080 GCE_METADATA_IP=127.0.0.1:8080 "$python_tools/bin/python" - "$(email_of metadata)" <<'PY'
import sys, google.auth, google.auth.transport.requests
credentials, project = google.auth.default()
credentials.refresh(google.auth.transport.requests.Request())
assert credentials.token and project == "team-one", project
assert credentials.service_account_email == sys.argv[1], credentials.service_account_email
PY
}
metadata_for_the_helper() {
  export GCE_METADATA_HOST=127.0.0.1:8080 DOCKER_CONFIG=$work/docker-metadata-helper
  docker-credential-gcr config --token-source=env
  docker-credential-gcr configure-docker --registries="$registry_host"
  docker pull "$image"
  expect_denied uploadArtifacts docker push "$image"
}
metadata_of_a_disabled_account() {
  gcloud iam service-accounts disable "$(email_of metadata)"
  wait_for 10 expect_failure curl --silent --fail -H 'Metadata-Flavor: Google' "$metadata_url/token"
  use_folders metadata-server reader
  wait_for 10 expect_refused 'authentication failed' docker pull "$image"
}
googles_library_over_grpc() {
  "$python_tools/bin/python" - "$registry_host" "$data/owner-key.json" <<'PY'
import sys
from google.api_core.exceptions import NotFound, PermissionDenied, Unauthenticated
from google.cloud import artifactregistry_v1 as registry
from google.oauth2 import credentials, service_account
host, owner = sys.argv[1:]
def client(key):
    # Without scopes the library signs a token of its own, for the usual address of the service.
    return client_with(service_account.Credentials.from_service_account_file(key))
def client_with(credentials):
    options = {"api_endpoint": f"{host}:443"}
    return registry.ArtifactRegistryClient(credentials=credentials, client_options=options)
def expect_refused(error, text, call, **arguments):
    try:
        raise SystemExit(f"the call was not refused: {call(**arguments)}")
    except error as refusal:
        assert text in refusal.message, refusal.message
name = "projects/team-one/locations/us-west1/repositories/images"
for key in "writer.json", "reader.json":
    found = client(key).get_repository(name=name)
    assert found.name == name and found.format_ == registry.Repository.Format.DOCKER, found
    expect_refused(PermissionDenied, "artifactregistry.repositories.delete", client(key).delete_repository, name=name)
stranger = client("stranger.json")
expect_refused(PermissionDenied, "artifactregistry.repositories.get", stranger.get_repository, name=name)
expect_refused(PermissionDenied, "artifactregistry.repositories.delete", stranger.delete_repository, name=name)
expect_refused(Unauthenticated, "", client("disabled.json").get_repository, name=name)
expired = credentials.Credentials(open("expired-token").read().strip())
expect_refused(Unauthenticated, "", client_with(expired).get_repository, name=name)
expect_refused(NotFound, "", client(owner).get_repository, name=name + "-none")
parent = "projects/team-one/locations/us-west1"
new = registry.Repository(format_=registry.Repository.Format.DOCKER, description="made over gRPC")
made = client(owner).create_repository(parent=parent, repository=new, repository_id="from-python").result()
assert made.description == "made over gRPC"
assert any(r.name == made.name for r in client(owner).list_repositories(parent=parent))
client(owner).delete_repository(name=made.name).result()
PY
}
container_registry_hosts() {
  gcloud artifacts repositories create gcr.io --repository-format=docker --location=us
  expect_refused 'can only be created in the us multi-region' \
    gcloud artifacts repositories create gcr.io --repository-format=docker --location=europe
  local name
  for name in gcr.io/team-one/app:1 "$regional_host/team-one/images/regional:1"; do
    docker login --username _json_key --password-stdin "${name%%/*}" <"$data/owner-key.json"
    docker tag "$image" "$name"
    docker push "$name"
    docker rmi "$name"
    docker pull "$name"
    docker logout "${name%%/*}"
  done
  # Both are hosts of the same repositories.
  login _json_key <reader.json
  docker pull "$registry_host/team-one/images/regional:1"
  logout
  # gcloud asks for a token to push and pull, and deletes with that token.
  gcloud container images add-tag gcr.io/team-one/app:1 gcr.io/team-one/app:doomed --quiet
  gcloud container images untag gcr.io/team-one/app:doomed --quiet
  gcloud container images list-tags gcr.io/team-one/app --format='value(tags)' | grep -x 1
  expect_refused "marketplace.gcr.io has images of Google's own, which are not here" \
    docker pull marketplace.gcr.io/google/anything:1
}
domain_scoped() {
  curl --silent --fail --cacert ca.pem -H "Authorization: Bearer $(berth token --key "$data/owner-key.json")" \
    -H 'Content-Type: application/json' --data '{"projectId":"example.com:my-scoped"}' "https://$registry_host/v1/projects"
  curl --silent --fail --cacert ca.pem -H "Authorization: Bearer $(berth token --key "$data/owner-key.json")" \
    -H 'Content-Type: application/json' --data '{"format":"DOCKER"}' \
    "https://$registry_host/v1/projects/example.com:my-scoped/locations/us-west1/repositories?repositoryId=images"
  login _json_key <"$data/owner-key.json"
  docker tag "$image" "$registry_host/example.com/my-scoped/images/app:1"
  docker push "$registry_host/example.com/my-scoped/images/app:1"
  docker pull "$registry_host/example.com/my-scoped/images/app:1"
  logout
}
kubelets() {
  start_containerd "$registry_host" "https://$registry_host" "$work/ca.pem"
  run_page "Kubernetes' way"
  crictl rmi --all
  expect_refused '401 Unauthorized' pull_with nonsense
  expect_refused '401 Unauthorized' pull_with "$(cat expired-token)"
  expect_refused '401 Unauthorized' pull_with "$(cat disabled-token)"
  expect_refused '403 Forbidden' pull_with "$(berth token --key stranger.json)"
}
pull_with() { crictl pull --creds "oauth2accesstoken:$1" "$image"; }

# A connection that is open before the certificate changes keeps working.
replace_certificate() {
  coproc openssl s_client -quiet -connect "$registry_host:443" -servername "$registry_host" -CAfile ca.pem 2>s_client.log
  expect_connection_answers
  cp ca.pem before.pem
  echo nonsense >tls.pem
  wait_for 30 grep -F "the new certificate cannot be used, and the one before stays: $work/tls.pem has no certificate" \
    server.log
  curl --silent --output /dev/null --cacert ca.pem "https://$registry_host/v2/"
  expect_connection_answers
  make_certificate "${all_hosts[@]}"
  wait_for 30 curl --silent --output /dev/null --cacert ca.pem "https://$registry_host/v2/"
  expect_failure curl --silent --output /dev/null --cacert before.pem "https://$registry_host/v2/"
  expect_connection_answers
  kill "$COPROC_PID"
}
expect_connection_answers() {
  local line
  printf 'HEAD /v2/ HTTP/1.1\r\nHost: %s\r\n\r\n' "$registry_host" >&"${COPROC[1]}"
  read -r -t 10 line <&"${COPROC[0]}"
  expect_equal "$line" $'HTTP/1.1 401 Unauthorized\r'
  while [[ $line != $'\r' ]]; do read -r -t 10 line <&"${COPROC[0]}"; done
}

# quick_start HEADING: runs the commands of the README below the heading: first the server, then those that use it. The
# server has its default data folder.
quick_start() (
  local commands pid
  commands=$(commands_of README.md "$1" | sed 's|\bIMAGE\b|example/app:1|')
  mkdir "$work/$1"
  cd "$work/$1"
  unset "${!CLOUDSDK_API_@}" "${!CLOUDSDK_ARTIFACTS_@}" "${!CLOUDSDK_AUTH_@}" REQUESTS_CA_BUNDLE
  # shellcheck disable=SC2030  # for these commands alone
  export CLOUDSDK_CONFIG=$PWD/gcloud DOCKER_CONFIG=$PWD/docker
  (
    berth() { exec "$server_bin" "$@"; }
    # The README builds it first.
    cargo() { [[ $1 = run && $2 = --release && $3 = -- ]] && berth "${@:4}"; }
    eval "${commands%%$'\n'*}"
  ) >server.log 2>&1 &
  pid=$!
  stop_at_exit "$pid"
  wait_for 30 curl --silent --fail http://127.0.0.1:5051/readyz
  eval "${commands#*$'\n'}"
  docker rmi 127.0.0.1:5050/my-project/my-repository/my-image
  docker pull 127.0.0.1:5050/my-project/my-repository/my-image
  stop_process "$pid"
)
