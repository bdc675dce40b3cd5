# shellcheck shell=bash
# What signs in beside docker, and hosts that are like Google's. Sourced by clients/login.

metadata_url=http://127.0.0.1:8080/computeMetadata/v1/instance/service-accounts/default
metadata_server() {
  refused curl --silent --fail "$metadata_url/token"
  refused curl --silent --fail -H 'Metadata-Flavor: Google' -H 'X-Forwarded-For: 10.0.0.1' "$metadata_url/token"
  curl --silent --fail -H 'Metadata-Flavor: Google' "$metadata_url/email" | grep -x "$(email_of metadata)"
  export CLOUDSDK_CONFIG=$work/gcloud-metadata CLOUDSDK_CORE_CHECK_GCE_METADATA=true
  run_page "A metadata server" >said
  jq -e .access_token said
  gcloud auth list --format='value(account)' | grep -x "$(email_of metadata)"
  gcloud artifacts repositories describe images --location=us-west1 --project=team-one --format='value(format)' |
    grep -x DOCKER
}
metadata_for_googles_library() {
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
  docker-credential-gcr configure-docker --registries="$host"
  docker pull "$image"
  denied uploadArtifacts docker push "$image"
}
metadata_of_a_disabled_account() {
  gcloud iam service-accounts disable "$(email_of metadata)"
  wait_for 10 refused curl --silent --fail -H 'Metadata-Flavor: Google' "$metadata_url/token"
  folders_of metadata-server reader
  wait_for 10 says 'authentication failed' docker pull "$image"
}
googles_library_over_grpc() {
  "$python_tools/bin/python" - "$host" "$data/owner-key.json" <<'PY'
import sys
from google.api_core.exceptions import NotFound, PermissionDenied, Unauthenticated
from google.cloud import artifactregistry_v1 as registry
from google.oauth2 import credentials, service_account
host, owner = sys.argv[1:]
def client(key):
    # Without scopes: the library signs a token of its own, for the service's usual address.
    return client_with(service_account.Credentials.from_service_account_file(key))
def client_with(credentials):
    options = {"api_endpoint": f"{host}:443"}
    return registry.ArtifactRegistryClient(credentials=credentials, client_options=options)
def refused(error, text, call, **arguments):
    try:
        raise SystemExit(f"was not refused: {call(**arguments)}")
    except error as refusal:
        assert text in refusal.message, refusal.message
name = "projects/team-one/locations/us-west1/repositories/images"
for key in "writer.json", "reader.json":
    found = client(key).get_repository(name=name)
    assert found.name == name and found.format_ == registry.Repository.Format.DOCKER, found
    refused(PermissionDenied, "artifactregistry.repositories.delete", client(key).delete_repository, name=name)
stranger = client("stranger.json")
refused(PermissionDenied, "artifactregistry.repositories.get", stranger.get_repository, name=name)
refused(PermissionDenied, "artifactregistry.repositories.delete", stranger.delete_repository, name=name)
refused(Unauthenticated, "", client("disabled.json").get_repository, name=name)
expired = credentials.Credentials(open("expired-token").read().strip())
refused(Unauthenticated, "", client_with(expired).get_repository, name=name)
refused(NotFound, "", client(owner).get_repository, name=name + "-none")
parent = "projects/team-one/locations/us-west1"
new = registry.Repository(format_=registry.Repository.Format.DOCKER, description="made over gRPC")
made = client(owner).create_repository(parent=parent, repository=new, repository_id="from-python").result()
assert made.description == "made over gRPC"
assert any(r.name == made.name for r in client(owner).list_repositories(parent=parent))
client(owner).delete_repository(name=made.name).result()
PY
}
container_registrys_hosts() {
  gcloud artifacts repositories create gcr.io --repository-format=docker --location=us
  says 'can only be created in the us multi-region' \
    gcloud artifacts repositories create gcr.io --repository-format=docker --location=europe
  local name
  for name in gcr.io/team-one/app:1 "$regional/team-one/images/regional:1"; do
    docker login --username _json_key --password-stdin "${name%%/*}" <"$data/owner-key.json"
    docker tag "$image" "$name"
    docker push "$name"
    docker rmi "$name"
    docker pull "$name"
    docker logout "${name%%/*}"
  done
  # Both are hosts of the same repositories.
  login _json_key <reader.json
  docker pull "$host/team-one/images/regional:1"
  logout
  # It asks for a token to push and pull, and deletes with that.
  gcloud container images add-tag gcr.io/team-one/app:1 gcr.io/team-one/app:doomed --quiet
  gcloud container images untag gcr.io/team-one/app:doomed --quiet
  gcloud container images list-tags gcr.io/team-one/app --format='value(tags)' | grep -x 1
  says "marketplace.gcr.io has images of Google's own, which are not here" \
    docker pull marketplace.gcr.io/google/anything:1
}
domain_scoped() {
  curl --silent --fail --cacert ca.pem -H "Authorization: Bearer $(berth token --key "$data/owner-key.json")" \
    -H 'Content-Type: application/json' --data '{"projectId":"example.com:my-scoped"}' "https://$host/v1/projects"
  curl --silent --fail --cacert ca.pem -H "Authorization: Bearer $(berth token --key "$data/owner-key.json")" \
    -H 'Content-Type: application/json' --data '{"format":"DOCKER"}' \
    "https://$host/v1/projects/example.com:my-scoped/locations/us-west1/repositories?repositoryId=images"
  login _json_key <"$data/owner-key.json"
  docker tag "$image" "$host/example.com/my-scoped/images/app:1"
  docker push "$host/example.com/my-scoped/images/app:1"
  docker pull "$host/example.com/my-scoped/images/app:1"
  logout
}
kubelets() {
  containerd_start "$host" "https://$host" "$work/ca.pem"
  run_page "Kubernetes' way"
  crictl rmi --all
  says '401 Unauthorized' pulls_with nonsense
  says '401 Unauthorized' pulls_with "$(cat expired-token)"
  says '401 Unauthorized' pulls_with "$(cat disabled-token)"
  says '403 Forbidden' pulls_with "$(berth token --key stranger.json)"
}
pulls_with() { crictl pull --creds "oauth2accesstoken:$1" "$image"; }

# A connection that is open before the certificate changes; nothing here would open another.
a_new_certificate() {
  coproc openssl s_client -quiet -connect "$host:443" -servername "$host" -CAfile ca.pem 2>s_client.log
  still_answers
  cp ca.pem before.pem
  echo nonsense >tls.pem
  wait_for 30 grep -F "the new certificate cannot be used, and the one before stays: $work/tls.pem has no certificate" \
    server.log
  curl --silent --output /dev/null --cacert ca.pem "https://$host/v2/"
  still_answers
  certificate "${hosts[@]}"
  wait_for 30 curl --silent --output /dev/null --cacert ca.pem "https://$host/v2/"
  refused curl --silent --output /dev/null --cacert before.pem "https://$host/v2/"
  still_answers
  kill "$COPROC_PID"
}
still_answers() {
  local line
  printf 'HEAD /v2/ HTTP/1.1\r\nHost: %s\r\n\r\n' "$host" >&"${COPROC[1]}"
  read -r -t 10 line <&"${COPROC[0]}"
  equal "$line" $'HTTP/1.1 401 Unauthorized\r'
  while [[ $line != $'\r' ]]; do read -r -t 10 line <&"${COPROC[0]}"; done
}

# quick_start HEADING: what the README says there: a server, then what makes use of it. Where the README means it
# to be, in the folder that it has by itself.
quick_start() (
  local commands pid
  commands=$(commands_of README.md "$1" | sed 's|\bIMAGE\b|example/app:1|')
  mkdir "$work/$1"
  cd "$work/$1"
  unset "${!CLOUDSDK_API_@}" "${!CLOUDSDK_ARTIFACTS_@}" "${!CLOUDSDK_AUTH_@}" REQUESTS_CA_BUNDLE
  export CLOUDSDK_CONFIG=$PWD/gcloud DOCKER_CONFIG=$PWD/docker
  (
    berth() { exec "$server_bin" "$@"; }
    # The README builds it first.
    cargo() { [[ $1 = run && $2 = --release && $3 = -- ]] && berth "${@:4}"; }
    eval "${commands%%$'\n'*}"
  ) >server.log 2>&1 &
  pid=$!
  ends_with_suite "$pid"
  wait_for 30 curl --silent --fail http://127.0.0.1:5051/readyz
  eval "${commands#*$'\n'}"
  docker rmi 127.0.0.1:5050/my-project/my-repository/my-image
  docker pull 127.0.0.1:5050/my-project/my-repository/my-image
  stop_pid "$pid"
)
