# shellcheck shell=bash
# Remote repositories, and the registry that stands for Docker Hub here: another `berth`, under the names of the
# registries that the page has. Sourced by clients/modes/run.

upstream_hosts=(registry-1.docker.io quay.io)

remote_checks() {
  start_upstreams
  check "the page: remote repositories of Docker Hub and quay.io are created" page_creates_remote
  check "the page: docker pulls what Docker Hub has" page_pulls_from_hub
  check "the page: the repository is shown, and no trouble with its upstream" page_shows_state
  check "crane, skopeo and oras pull through" others_pull_through
  start_vendor
  check "the page: a remote repository has a secret for a private registry" page_creates_private
  check "the page: the secret gets another version, and the first one is disabled" page_changes_secret
  check "the page: images are allowed and denied" page_denies_images
  check "the page: a remote repository has a limit of bytes" page_limits_cache
  check "the page: a remote repository reads one of this registry" page_reads_own
  check "docker push to a remote repository fails at once" remote_takes_no_push
  check "what was pulled is listed by gcloud" remote_is_listed
  check "what was pulled is pulled again without the upstream" hub_is_away
}

# start_upstreams: starts the registry behind the names, on an address of its own.
start_upstreams() {
  local settings=$work/upstream.toml host
  echo "127.0.0.2 ${upstream_hosts[*]}" >>/etc/hosts
  certificate_of upstream "${upstream_hosts[@]}"
  printf '[tls]\ncertificate = "%s"\nkey = "%s"\n' "$work/upstream.pem" "$work/upstream.key" >"$settings"
  for host in "${upstream_hosts[@]}"; do
    printf '[[mirror]]\nhost = "%s"\nrepository = "projects/upstream/locations/us-west1/repositories/images"\n' \
      "$host" >>"$settings"
  done
  "$server_bin" serve --data "$work/upstream" --config "$settings" --dev --listen 127.0.0.2:443 --ops-listen off \
    --dev-host registry-1.docker.io --dev-host quay.io >"$work/upstream.log" 2>&1 &
  upstream_pid=$!
  stop_at_exit "$upstream_pid"
  wait_for 30 curl --silent --cacert ca.pem "https://quay.io/v2/"
}
page_creates_remote() {
  new_image alpine
  crane push alpine.tar registry-1.docker.io/library/alpine:3
  crane copy registry-1.docker.io/library/alpine:3 quay.io/team/tool:1
  run_page Remote "repositories create hub"
  run_page Remote "repositories create quay"
  expect_json "$(api "$base/hub")" '.remoteRepositoryConfig.dockerRepository.publicRepository == "DOCKER_HUB"'
}
page_pulls_from_hub() {
  local id
  id=$(crane manifest registry-1.docker.io/library/alpine:3 | jq -er .config.digest)
  run_page Remote "docker pull"
  expect_equal "$(docker image inspect --format '{{.Id}}' "$registry_host/$project/hub/alpine:3")" "$id"
}
page_shows_state() {
  expect_json "$(run_request Remote curl)" '.mode == "REMOTE_REPOSITORY"
      and (.remoteRepositoryConfig.upstreamState // {} | has("retryAfter") or has("unreachable") | not)'
}
others_pull_through() {
  local image=$registry_host/$project/quay/team/tool:1 digest
  digest=$(crane digest quay.io/team/tool:1)
  expect_equal "$(crane digest "$image")" "$digest"
  crane validate --remote "$image"
  skopeo copy --quiet --src-creds "oauth2accesstoken:$(cat owner-token)" "docker://$image" dir:tool
  oras manifest fetch --username oauth2accesstoken --password "$(cat owner-token)" "$image" >manifest.json
  expect_equal "sha256:$(sha256sum manifest.json | cut -d ' ' -f 1)" "$digest"
}
page_denies_images() {
  local hub=$registry_host/$project/hub
  run_request "Fewer images, or no questions"
  expect_equal "$(status_of "$hub/registry" 3)" 403
  expect_equal "$(status_of "$hub/team/tool" 1)" 403
  expect_equal "$(status_of "$hub/alpine" 3)" 200
  expect_failure crane manifest "$hub/registry:3" >denied 2>&1
  expect_text "does not serve library/registry" <denied
}
page_limits_cache() {
  run_request "How much is kept"
  expect_json "$(api "$base/hub")" '.remoteRepositoryConfig.maxCacheBytes == "50000000000"'
}
# start_vendor: starts a registry with accounts, which everybody needs a password for.
start_vendor() {
  local settings=$work/vendor.toml
  echo "127.0.0.3 registry.example.com" >>/etc/hosts
  certificate_of vendor registry.example.com
  printf 'external_url = "https://registry.example.com"\nfirst_project = "vendor-project"\n' >"$settings"
  printf '[tls]\ncertificate = "%s"\nkey = "%s"\n' "$work/vendor.pem" "$work/vendor.key" >>"$settings"
  "$server_bin" serve --data "$work/vendor" --config "$settings" --listen 127.0.0.3:443 --ops-listen off \
    >"$work/vendor.log" 2>&1 &
  stop_at_exit $!
  wait_for 30 curl --silent --cacert ca.pem "https://registry.example.com/v2/"
}
# vendor_images: creates a repository of the private registry with an image in it, and keys for it.
vendor_images() {
  local image=registry.example.com/vendor-project/images/tool
  berth token --key "$work/vendor/owner-key.json" >vendor-token
  curl --silent --show-error --fail --cacert ca.pem -H "Authorization: Bearer $(cat vendor-token)" \
    -H 'Content-Type: application/json' --data '{"format": "DOCKER"}' \
    "https://registry.example.com/v1/projects/vendor-project/locations/us-west1/repositories?repositoryId=images"
  crane auth login registry.example.com --username oauth2accesstoken --password-stdin <vendor-token
  crane push alpine.tar "$image:1"
  crane copy "$image:1" "$image:2"
  crane auth logout registry.example.com
  # The key is a text of many lines, as a password that comes from a file may be.
  jq . "$work/vendor/owner-key.json" >vendor-key.json
  jq -c . "$work/vendor/owner-key.json" >new-vendor-key.json
}

page_creates_private() {
  vendor_images
  run_page "Private upstreams" "--origin"
  run_page "Private upstreams" "repositories create vendor"
  run_page "Private upstreams" "docker pull"
  expect_json "$(api "$base/vendor")" '.remoteRepositoryConfig.upstreamCredentials.usernamePasswordCredentials
      == {username: "_json_key", passwordSecretVersion: "projects/team-one/secrets/vendor/versions/latest"}'
}
page_changes_secret() {
  local output image=$registry_host/$project/vendor/tool
  run_page "Private upstreams" "<new-vendor-key.json"
  run_page "Private upstreams" "repositories update vendor"
  output=$(run_page "Private upstreams" "berth secrets list")
  expect_text "projects/team-one/secrets/vendor  https://registry.example.com" <<<"$output"
  expect_text "used by $base/vendor" <<<"$output"
  run_page "Private upstreams" "berth secrets disable"
  expect_json "$(api "$base/vendor")" '.remoteRepositoryConfig.upstreamCredentials.usernamePasswordCredentials
      == {username: "_json_key", passwordSecretVersion: "projects/team-one/secrets/vendor/versions/2"}'
  crane digest "$image:2"
  berth secrets disable projects/team-one/secrets/vendor/versions/2
  crane digest "$image:1"
  expect_failure crane manifest "$image:3" >missing 2>&1
  expect_text "the credentials for it are not available" <missing
  grep -F "PRIVATE KEY" "$data"/audit.log "$work"/*.log && return 1
  return 0
}

page_reads_own() {
  run_page "A remote repository of a repository of this registry" "repositories create copy"
  expect_equal "$(crane digest "$registry_host/$project/copy/web:2.0")" "$(digest_of main-repo)"
}
remote_takes_no_push() {
  docker tag "$registry_host/$project/hub/alpine:3" "$registry_host/$project/hub/alpine:mine"
  expect_failure timeout 30 docker push "$registry_host/$project/hub/alpine:mine" >pushed 2>&1
  expect_text "is a remote repository, which takes no pushes" <pushed
}
remote_is_listed() {
  local output
  output=$(gcloud artifacts docker images list "$registry_host/$project/hub" --include-tags --format=json)
  expect_json "$output" 'length == 1 and .[0].package == $image and .[0].tags == ["3"]' \
    --arg image "$registry_host/$project/hub/alpine"
}
hub_is_away() {
  local image=$registry_host/$project/hub/alpine digest
  digest=$(crane digest "$image:3")
  stop_process "$upstream_pid"
  docker rmi "$image:3" "$image:mine"
  docker pull "$image:3"
  docker pull "$image@$digest"
  expect_failure crane manifest "$image:other" >missing 2>&1
  expect_text "the upstream registry-1.docker.io gave no answer" <missing
}
