# shellcheck shell=bash
# crane, skopeo, oras and crictl on a virtual repository. Sourced by clients/modes/run.

other_checks() {
  check "two more upstreams are created" create_more_upstreams
  check "crane finds, pulls and lists what the upstreams serve" crane_reads
  check "crane is refused a push, a tag and a deletion" crane_writes_nothing
  check "skopeo inspects, copies and lists what the upstreams serve" skopeo_reads
  check "skopeo is refused a push" skopeo_writes_nothing
  check "oras discovers the referrers of all upstreams, and pulls one" oras_reads
  check "oras is refused an attachment" oras_writes_nothing
  check "crictl pulls by tag and by digest" crictl_pulls
}
# Another virtual repository: checks that change their upstreams do not disturb those that list `all` meanwhile.
pair=$registry_host/$project/pair high=$registry_host/$project/high low=$registry_host/$project/low
create_more_upstreams() {
  create_repository high us-west1
  create_repository low us-west1
  create_repository pair us-west1 "$(jq -n --arg base "$base" '{mode: "VIRTUAL_REPOSITORY", virtualRepositoryConfig:
      {upstreamPolicies: [{id: "high", repository: "\($base)/high", priority: 2},
                          {id: "low", repository: "\($base)/low", priority: 1}]}}')"
}

crane_reads() {
  local tag upstream
  for tag in "${!server_of[@]}"; do expect_served "$all/web:$tag" "${server_of[$tag]}"; done
  for upstream in "${upstreams[@]}"; do
    crane pull "$all/web@$(digest_of "$upstream")" pulled.tar
    crane validate --tarball pulled.tar
    expect_equal "$(crane config "$all/web@$(digest_of "$upstream")" | sha256sum | cut -d ' ' -f 1)" \
      "$(cut -d : -f 2 "$upstream.id")"
  done
  crane validate --remote "$all/web:3.0"
  expect_equal "$(crane ls "$all/web")" "$(printf '%s\n' 1.0 2.0 3.0 4.0)"
  crane manifest "$all/web:2.0" >manifest.json
  expect_equal "sha256:$(sha256sum manifest.json | cut -d ' ' -f 1)" "$(digest_of main-repo)"
}
crane_writes_nothing() {
  expect_refused "$no_pushes" timeout 30 "$(crane_path)" push main-repo.tar "$all/web:1.0"
  expect_refused "$no_pushes" timeout 30 "$(crane_path)" tag "$all/web:1.0" new
  expect_refused "$no_pushes" timeout 30 "$(crane_path)" delete "$all/web:1.0"
  expect_served "$all/web:1.0" secondary-repo1
}
by_token() { echo "oauth2accesstoken:$(cat owner-token)"; }
skopeo_reads() {
  local output
  output=$(skopeo inspect --creds "$(by_token)" "docker://$all/web:2.0")
  expect_json "$output" '.Digest == $digest and .RepoTags == ["1.0", "2.0", "3.0", "4.0"]' \
    --arg digest "$(digest_of main-repo)"
  expect_json "$(skopeo list-tags --creds "$(by_token)" "docker://$all/web")" '.Tags == ["1.0", "2.0", "3.0", "4.0"]'
  skopeo copy --quiet --src-creds "$(by_token)" "docker://$all/web:3.0" dir:copied
  expect_equal "sha256:$(sha256sum copied/manifest.json | cut -d ' ' -f 1)" "$(digest_of secondary-repo2)"
  # From the virtual repository to a standard one of the same registry.
  skopeo copy --quiet --src-creds "$(by_token)" --dest-creds "$(by_token)" "docker://$all/web:4.0" \
    "docker://$low/copied:1"
  expect_served "$low/copied:1" test-repo
}
skopeo_writes_nothing() {
  expect_refused "$no_pushes" timeout 30 skopeo copy --quiet --dest-creds "$(by_token)" docker-archive:main-repo.tar \
    "docker://$all/web:1.0"
}
# One image in both upstreams, with a referrer in each and a third one in both.
oras_reads() {
  local repository kind
  for repository in "$high" "$low"; do crane push main-repo.tar "$repository/signed:1"; done
  for kind in bill signature both; do echo "\"$kind\"" >"$kind.json"; done
  attach "$high/signed:1" bill
  attach "$low/signed:1" signature
  attach "$high/signed:1" both >attached.json
  oras cp "$high/signed@$(jq -er .digest attached.json)" "$low/signed"
  oras discover --format json "$pair/signed:1" >discovered.json
  expect_json "$(cat discovered.json)" '.referrers | map(.artifactType) | sort == ["a/bill", "a/both", "a/signature"]'
  oras pull --output pulled "$pair/signed@$(jq -er '.referrers[] | select(.artifactType == "a/signature").digest' \
    discovered.json)"
  cmp signature.json pulled/signature.json
}
# attach IMAGE KIND: attaches the file KIND.json as an artifact of the type a/KIND.
attach() { oras attach "$1" --artifact-type "a/$2" --format json "$2.json"; }
oras_writes_nothing() {
  expect_refused "$no_pushes" timeout 30 "$(oras_path)" attach "$all/web:1.0" --artifact-type a/bill bill.json
}
crictl_pulls() {
  local name
  for name in "$all/web:2.0" "$all/web@$(digest_of main-repo)"; do
    crictl pull --creds "$(by_token)" "$name"
    expect_json "$(crictl images --output json)" '.images | length == 1 and .[0].id == $id' \
      --arg id "$(cat main-repo.id)"
    crictl rmi --all
  done
  expect_refused "not found" crictl pull --creds "$(by_token)" "$all/web:9.9"
}
