# shellcheck shell=bash
# Repositories, their policies, locations. Sourced by clients/gcloud/run.

repositories() { gcloud artifacts repositories "$@" --location=us-east1; }
in_east=projects/$project/locations/us-east1

repository_checks() {
  check_parallel "repositories create and describe" creates_and_describes
  check_parallel "repositories create --async, and its operation" creates_later
  check_parallel "repositories create: remote and virtual" creates_remote_and_virtual
  check_parallel "repositories create: remote repositories with credentials, and of this registry" creates_other_remotes
  check_parallel "repositories describe and list show the size" shows_sizes
  check_parallel "repositories list" lists_repositories
  check_parallel "repositories list: order, limit, filter" lists_some_repositories
  check_parallel "repositories list shows every location" lists_everywhere
  check_parallel "repositories update" updates
  check_parallel "repositories update: labels and scanning" updates_labels_and_scanning
  check_parallel "repositories delete" deletes_repository
  check_parallel "repositories delete --async" deletes_repository_later
  check_parallel "no command finds a repository that does not exist" no_such_repository
  check_parallel "cleanup policies are set, listed and deleted" cleanup_policies
  check_parallel "roles are granted and taken back" iam_policies
  check_parallel "a whole policy is set, and an old one is refused" whole_iam_policy
  check_parallel "locations list" lists_locations
  check_parallel "settings describe" expect_output "legacyRedirectionState: REDIRECTION_FROM_GCR_IO_FINALIZED" \
    gcloud artifacts settings describe
  check_parallel "vpcsc-config describe" expect_output "vpcscPolicy: ALLOW" \
    gcloud artifacts vpcsc-config describe --location=us-west1
}

new_repository() { gcloud artifacts repositories create "$1" --repository-format=docker "${@:2}"; }
creates_and_describes() {
  local output
  output=$(new_repository described --location=us-east1 --description="In some words" --labels=team=one,env=test \
    --immutable-tags --mode=standard-repository --disable-vulnerability-scanning 2>&1)
  expect_text "Create request issued for: [described]" <<<"$output"
  expect_text "Created repository [described]." <<<"$output"
  output=$(repositories describe described --format=json 2>described.err)
  expect_text "Encryption: Google-managed key" <described.err
  expect_text "Repository Size: 0.000MB" <described.err
  expect_json "$output" '.name == $name and .format == "DOCKER" and .description == "In some words"
      and .labels == {team: "one", env: "test"}
      and .dockerConfig == {immutableTags: true} and .mode == "STANDARD_REPOSITORY"
      and .vulnerabilityScanningConfig.enablementConfig == "DISABLED"
      and .registryUri == "us-east1-docker.berth.test/team-one/described"
      and (.createTime <= .updateTime)' --arg name "$in_east/repositories/described"
  expect_refused ALREADY_EXISTS new_repository described --location=us-east1
}
creates_remote_and_virtual() {
  local id output repository=$in_east/repositories/upstream
  new_repository remote --location=us-east1 --mode=remote-repository --remote-docker-repo=DOCKER-HUB \
    --remote-repo-config-desc="Of others"
  expect_json "$(repositories describe remote --format=json)" '.mode == "REMOTE_REPOSITORY" and .remoteRepositoryConfig ==
      {description: "Of others", dockerRepository: {publicRepository: "DOCKER_HUB"}}'
  create_repository upstream us-east1
  for id in one two; do
    jq -n --arg id "$id" --arg repository "$repository" '[{$id, $repository, priority: 10}]' >"upstreams-$id.json"
  done
  new_repository virtual --location=us-east1 --mode=virtual-repository --upstream-policy-file=upstreams-one.json
  output=$(repositories describe virtual --format=json)
  expect_json "$output" '.mode == "VIRTUAL_REPOSITORY" and .virtualRepositoryConfig.upstreamPolicies ==
      [{id: "one", priority: 10, repository: $repository}]' --arg repository "$repository"
  output=$(repositories update virtual --upstream-policy-file=upstreams-two.json --format=json)
  expect_json "$output" '.virtualRepositoryConfig.upstreamPolicies | map(.id) == ["two"]'
}
creates_other_remotes() {
  local output secret=projects/$project/secrets/upstream/versions repository=$in_east/repositories/described-upstream
  berth secrets add "${secret%/versions}" --data "$data" --origin https://registry.example.com <<<"a password"
  berth secrets add "${secret%/versions}" --data "$data" <<<"a new password"
  # Nothing answers under this name.
  set -- private --location=us-east1 --mode=remote-repository --remote-docker-repo=https://registry.example.com \
    --remote-username=one --remote-password-secret-version="$secret/1"
  expect_refused "the upstream registry.example.com gave no answer" new_repository "$@"
  new_repository "$@" --disable-remote-validation
  # expect_credentials USERNAME SECRET-VERSION: the repository has these credentials.
  expect_credentials() {
    expect_json "$(repositories describe private --format=json)" '.remoteRepositoryConfig == {
        commonRepository: {uri: "https://registry.example.com"}, disableUpstreamValidation: true,
        upstreamCredentials: {usernamePasswordCredentials: {username: $user, passwordSecretVersion: $secret}}}' \
      --arg user "$1" --arg secret "$secret/$2"
  }
  expect_credentials one 1
  output=$(repositories update private --remote-username=two --remote-password-secret-version="$secret/2" \
    --disable-remote-validation 2>&1)
  expect_text "Updated repository [private]." <<<"$output"
  expect_credentials two 2
  create_repository described-upstream us-east1
  new_repository chained --location=us-east1 --mode=remote-repository --remote-docker-repo="$repository" \
    --disable-remote-validation
  expect_json "$(repositories describe chained --format=json)" '.remoteRepositoryConfig ==
      {commonRepository: {uri: $repository}, disableUpstreamValidation: true}' --arg repository "$repository"
}
# The size of the two images of `locked`: `describe` shows units of 10^6 bytes, `list` shows units of 2^20 bytes.
shows_sizes() {
  local bytes
  bytes=$(cat layout10.digests layout11.digests | awk '{ sum += $2 } END { print sum }')
  expect_output "Repository Size: $(awk -v bytes="$bytes" 'BEGIN { printf "%.3fMB", bytes / 1e6 }')" \
    gcloud artifacts repositories describe locked --location=us-west1
  expect_equal "$(gcloud artifacts repositories list --location=us-west1 | awk '$1 == "locked" { print $NF }')" \
    "$(awk -v bytes="$bytes" 'BEGIN { printf "%.3f", bytes / 1048576 }')"
}
creates_later() {
  local output operation
  output=$(expect_output "Check operation [$in_east/operations/" new_repository later --location=us-east1 --async)
  operation=$(grep -o "$in_east/operations/[^] ]*" <<<"$output" | head -n 1)
  wait_for 10 repositories describe later
  output=$(gcloud artifacts operations describe "${operation##*/}" --location=us-east1 --format=json)
  expect_json "$output" '.name == $operation and .done and .response.name == $name
      and .response."@type" == "type.googleapis.com/google.devtools.artifactregistry.v1.Repository"' \
    --arg operation "$operation" --arg name "$in_east/repositories/later"
}
# In a location of its own, where no other check has repositories.
lists_repositories() {
  local name since output expected
  since=$(date +%s)
  for name in first second third; do
    create_repository "$name" europe-west1 "{\"description\": \"$name\", \"labels\": {\"a\": \"b\"}}"
  done
  output=$(gcloud artifacts repositories list --location=europe-west1 2>repositories.err)
  expect_text "Listing items under project $project, location europe-west1." <repositories.err
  expected=$since..$(date +%s)
  # A title with a frame stands above the table.
  output=$(sed -n '/REPOSITORY  /,$p' <<<"$output" | sed 's/Google-managed key/Google-managed-key/')
  expect_table "$output" "REPOSITORY FORMAT MODE DESCRIPTION LOCATION LABELS ENCRYPTION CREATE_TIME UPDATE_TIME SIZE (MB)
$(for name in first second third; do
    echo "$name DOCKER STANDARD_REPOSITORY $name europe-west1 a=b Google-managed-key $expected $expected 0"
  done)"
  expect_equal "$(gcloud artifacts repositories list --location=europe-west1 --page-size=2 --format='value(name.basename())' |
    sort)" "first
second
third"
}
# In a location of its own. Only an order by name is left to the registry; gcloud sorts by other fields itself.
lists_some_repositories() {
  local name
  list_some() { gcloud artifacts repositories list --location=europe-west4 --format='value(name.basename())' "$@"; }
  for name in one other another; do create_repository "$name" europe-west4; done
  expect_equal "$(list_some --sort-by=~name --limit=2)" "other
one"
  expect_equal "$(list_some --sort-by=~createTime --limit=1)" another
  expect_equal "$(list_some --filter='name~other' --sort-by=name)" "another
other"
  expect_equal "$(list_some --filter="name=\"projects/$project/locations/europe-west4/repositories/o*\"" --sort-by=name)" "one
other"
}
lists_everywhere() {
  create_repository elsewhere asia-east1
  gcloud artifacts repositories list --format='csv[no-heading](name.segment(3),name.basename())' >everywhere
  grep -x asia-east1,elsewhere everywhere
  grep -x us-west1,images everywhere
}
updates() {
  local output
  create_repository updated us-east1 '{"description": "Before", "labels": {"stays": "yes", "goes": "yes"}}'
  output=$(expect_output "Updated repository [updated]." repositories update updated --description=After \
    --update-labels=comes=yes --remove-labels=goes --immutable-tags)
  expect_text "description: After" <<<"$output"
  expect_json "$(repositories describe updated --format=json)" '.description == "After"
      and .labels == {stays: "yes", comes: "yes"} and .dockerConfig.immutableTags'
  repositories update updated --no-immutable-tags
  expect_json "$(repositories describe updated --format=json)" '.description == "After"
      and (.dockerConfig.immutableTags | not) and .labels == {stays: "yes", comes: "yes"}'
}
updates_labels_and_scanning() {
  new_repository scanned --location=us-east1 --labels=a=b --allow-vulnerability-scanning
  expect_json "$(repositories describe scanned --format=json)" '.labels == {a: "b"}
      and .vulnerabilityScanningConfig.enablementConfig == "INHERITED"'
  repositories update scanned --clear-labels --disable-vulnerability-scanning
  expect_json "$(repositories describe scanned --format=json)" '(has("labels") | not)
      and .vulnerabilityScanningConfig.enablementConfig == "DISABLED"'
  repositories update scanned --allow-vulnerability-scanning
  expect_json "$(repositories describe scanned --format=json)" '.vulnerabilityScanningConfig.enablementConfig == "INHERITED"'
  # gcloud prints settings for other formats; it has none for Docker.
  expect_refused "Invalid repository type DOCKER." gcloud artifacts print-settings npm --repository=scanned --location=us-east1
}
deletes_repository_later() {
  create_repository deleted-later us-east1
  expect_output "Delete request issued for: [deleted-later]" repositories delete deleted-later --async
  expect_refused NOT_FOUND repositories describe deleted-later
}
deletes_repository() {
  local image=$registry_host/$project/deleted/deep/app
  create_repository deleted us-west1
  crane push layout16 "$image:1"
  expect_output "Deleted repository [deleted]." gcloud artifacts repositories delete deleted --location=us-west1
  expect_refused NOT_FOUND gcloud artifacts repositories describe deleted --location=us-west1
  expect_gone "$image:1"
}
no_such_repository() {
  local command
  for command in describe delete get-iam-policy "update --description=x"; do
    # shellcheck disable=SC2086  # a command of several words
    expect_refused NOT_FOUND repositories $command none
  done
}

cleanup_policies() {
  local output
  create_repository cleaned us-east1
  cat >policies.json <<'JSON'
[{"name": "old", "action": {"type": "Delete"},
  "condition": {"tagState": "any", "olderThan": "30d", "packageNamePrefixes": ["team/web"]}},
 {"name": "keep", "action": {"type": "Keep"}, "mostRecentVersions": {"keepCount": 5}}]
JSON
  expect_output "Dry run is enabled." repositories set-cleanup-policies cleaned --policy=policies.json --dry-run
  output=$(repositories list-cleanup-policies cleaned)
  expect_json "$output" 'map(.name) == ["keep", "old"] and .[0].mostRecentVersions == {keepCount: 5}
      and (.[0].action.type | ascii_upcase) == "KEEP" and (.[1].action.type | ascii_upcase) == "DELETE"
      and (.[1].condition | .olderThan == "2592000s" and (.tagState | ascii_upcase) == "ANY"
           and .packageNamePrefixes == ["team/web"])'
  expect_output "Dry run is disabled." repositories set-cleanup-policies cleaned --policy=policies.json --no-dry-run
  repositories delete-cleanup-policies cleaned --policynames=old
  expect_json "$(repositories list-cleanup-policies cleaned)" 'map(.name) == ["keep"]'
  repositories delete-cleanup-policies cleaned --policynames=keep
  expect_json "$(repositories list-cleanup-policies cleaned)" '. == []'
}

reader_member=serviceAccount:$(email_of reader-account)
nobody_member=serviceAccount:$(email_of nobody-account)
iam_policies() {
  local output
  create_repository shared us-east1
  repositories add-iam-policy-binding shared --member="$reader_member" --role=roles/artifactregistry.writer
  repositories add-iam-policy-binding shared --member="$nobody_member" --role=roles/artifactregistry.writer
  output=$(repositories get-iam-policy shared --format=json)
  expect_json "$output" '.etag and (.bindings | length == 1) and .bindings[0].role == "roles/artifactregistry.writer"
      and (.bindings[0].members | sort == [$nobody, $reader])' \
    --arg nobody "$nobody_member" --arg reader "$reader_member"
  repositories remove-iam-policy-binding shared --member="$nobody_member" --role=roles/artifactregistry.writer
  expect_json "$(repositories get-iam-policy shared --format=json)" '.bindings == [{role: $role, members: [$reader]}]' \
    --arg role roles/artifactregistry.writer --arg reader "$reader_member"
}
whole_iam_policy() {
  create_repository owned us-east1
  jq -n --arg member "$nobody_member" \
    '{bindings: [{role: "roles/artifactregistry.repoAdmin", members: [$member]}]}' >policy.json
  repositories set-iam-policy owned policy.json
  expect_json "$(repositories get-iam-policy owned --format=json)" '.bindings == [{role: $role, members: [$member]}]' \
    --arg role roles/artifactregistry.repoAdmin --arg member "$nobody_member"
  # A policy that was read before the last change is refused as a whole.
  repositories get-iam-policy owned --format=json >before.json
  repositories add-iam-policy-binding owned --member="$reader_member" --role=roles/artifactregistry.reader
  expect_refused ABORTED repositories set-iam-policy owned before.json
  expect_json "$(repositories get-iam-policy owned --format=json)" '.bindings | length == 2'
}

lists_locations() {
  gcloud artifacts locations list >locations.txt
  expect_equal "$(head -n 1 locations.txt)" LOCATIONS
  local name
  for name in us europe asia us-west1 europe-west1; do grep -x "$name" locations.txt; done
  sed 1d locations.txt | sort --check
}
