# shellcheck shell=bash
# Repositories, their policies, locations. Sourced by clients/gcloud.

repositories() { gcloud artifacts repositories "$@" --location=us-east1; }
in_east=projects/$project/locations/us-east1

repository_checks() {
  beside "repositories create and describe" creates_and_describes
  beside "repositories create for later, and its operation" creates_later
  beside "repositories create: remote and virtual" creates_remote_and_virtual
  beside "repositories create: remote ones, with credentials, and of this registry" creates_other_remotes
  beside "repositories and their size" shows_sizes
  beside "repositories list" lists_repositories
  beside "repositories list: order, limit, filter" lists_some_repositories
  beside "repositories list everywhere" lists_everywhere
  beside "repositories update" updates
  beside "repositories update: labels and scanning" updates_labels_and_scanning
  beside "repositories delete" deletes_repository
  beside "repositories delete for later" deletes_repository_later
  beside "repositories that are not there" no_such_repository
  beside "cleanup policies" cleanup_policies
  beside "policies" iam_policies
  beside "a whole policy" whole_iam_policy
  beside "locations list" lists_locations
  beside "settings describe" prints "legacyRedirectionState: REDIRECTION_FROM_GCR_IO_FINALIZED" \
    gcloud artifacts settings describe
  beside "vpcsc-config describe" prints "vpcscPolicy: ALLOW" \
    gcloud artifacts vpcsc-config describe --location=us-west1
}

new_repository() { gcloud artifacts repositories create "$1" --repository-format=docker "${@:2}"; }
creates_and_describes() {
  local said
  said=$(new_repository described --location=us-east1 --description="In some words" --labels=team=one,env=test \
    --immutable-tags --mode=standard-repository --disable-vulnerability-scanning 2>&1)
  has "Create request issued for: [described]" <<<"$said"
  has "Created repository [described]." <<<"$said"
  said=$(repositories describe described --format=json 2>said-described)
  has "Encryption: Google-managed key" <said-described
  has "Repository Size: 0.000MB" <said-described
  matches "$said" '.name == $name and .format == "DOCKER" and .description == "In some words"
      and .labels == {team: "one", env: "test"}
      and .dockerConfig == {immutableTags: true} and .mode == "STANDARD_REPOSITORY"
      and .vulnerabilityScanningConfig.enablementConfig == "DISABLED"
      and .registryUri == "us-east1-docker.berth.test/team-one/described"
      and (.createTime <= .updateTime)' --arg name "$in_east/repositories/described"
  says ALREADY_EXISTS new_repository described --location=us-east1
}
creates_remote_and_virtual() {
  local said repository=$in_east/repositories/upstream
  new_repository remote --location=us-east1 --mode=remote-repository --remote-docker-repo=DOCKER-HUB \
    --remote-repo-config-desc="Of others"
  matches "$(repositories describe remote --format=json)" '.mode == "REMOTE_REPOSITORY" and .remoteRepositoryConfig ==
      {description: "Of others", dockerRepository: {publicRepository: "DOCKER_HUB"}}'
  a_repository upstream us-east1
  for said in one two; do
    jq -n --arg id "$said" --arg repository "$repository" '[{$id, $repository, priority: 10}]' >"upstreams-$said.json"
  done
  new_repository virtual --location=us-east1 --mode=virtual-repository --upstream-policy-file=upstreams-one.json
  said=$(repositories describe virtual --format=json)
  matches "$said" '.mode == "VIRTUAL_REPOSITORY" and .virtualRepositoryConfig.upstreamPolicies ==
      [{id: "one", priority: 10, repository: $repository}]' --arg repository "$repository"
  said=$(repositories update virtual --upstream-policy-file=upstreams-two.json --format=json)
  matches "$said" '.virtualRepositoryConfig.upstreamPolicies | map(.id) == ["two"]'
}
creates_other_remotes() {
  local said secret=projects/$project/secrets/upstream/versions repository=$in_east/repositories/described-upstream
  new_repository private --location=us-east1 --mode=remote-repository --remote-docker-repo=https://registry.example.com \
    --remote-username=one --remote-password-secret-version="$secret/1"
  credentials() {
    matches "$(repositories describe private --format=json)" '.remoteRepositoryConfig == {
        commonRepository: {uri: "https://registry.example.com"}, upstreamCredentials: {usernamePasswordCredentials:
          {username: $user, passwordSecretVersion: $secret}}} + $more' \
      --arg user "$1" --arg secret "$secret/$2" --argjson more "$3"
  }
  credentials one 1 '{}'
  said=$(repositories update private --remote-username=two --remote-password-secret-version="$secret/2" \
    --disable-remote-validation 2>&1)
  has "Updated repository [private]." <<<"$said"
  credentials two 2 '{"disableUpstreamValidation": true}'
  a_repository described-upstream us-east1
  new_repository chained --location=us-east1 --mode=remote-repository --remote-docker-repo="$repository" \
    --disable-remote-validation
  matches "$(repositories describe chained --format=json)" '.remoteRepositoryConfig ==
      {commonRepository: {uri: $repository}, disableUpstreamValidation: true}' --arg repository "$repository"
}
# In bytes in the one list, in thousands of thousands in the other: what both images of `locked` have.
shows_sizes() {
  local bytes
  bytes=$(cat layout10.digests layout11.digests | awk '{ sum += $2 } END { print sum }')
  prints "Repository Size: $(awk -v bytes="$bytes" 'BEGIN { printf "%.3fMB", bytes / 1e6 }')" \
    gcloud artifacts repositories describe locked --location=us-west1
  equal "$(gcloud artifacts repositories list --location=us-west1 | awk '$1 == "locked" { print $NF }')" \
    "$(awk -v bytes="$bytes" 'BEGIN { printf "%.3f", bytes / 1048576 }')"
}
creates_later() {
  local said operation
  said=$(prints "Check operation [$in_east/operations/" new_repository later --location=us-east1 --async)
  operation=$(grep -o "$in_east/operations/[^] ]*" <<<"$said" | head -n 1)
  wait_for 10 repositories describe later
  said=$(gcloud artifacts operations describe "${operation##*/}" --location=us-east1 --format=json)
  matches "$said" '.name == $operation and .done and .response.name == $name
      and .response."@type" == "type.googleapis.com/google.devtools.artifactregistry.v1.Repository"' \
    --arg operation "$operation" --arg name "$in_east/repositories/later"
}
# In a place of their own, where no other check has any.
lists_repositories() {
  local name since said expected
  since=$(date +%s)
  for name in first second third; do
    a_repository "$name" europe-west1 "{\"description\": \"$name\", \"labels\": {\"a\": \"b\"}}"
  done
  said=$(gcloud artifacts repositories list --location=europe-west1 2>said-repositories)
  has "Listing items under project $project, location europe-west1." <said-repositories
  expected=$since..$(date +%s)
  # A title stands above the table, in a frame of its own.
  said=$(sed -n '/REPOSITORY  /,$p' <<<"$said" | sed 's/Google-managed key/Google-managed-key/')
  same_table "$said" "REPOSITORY FORMAT MODE DESCRIPTION LOCATION LABELS ENCRYPTION CREATE_TIME UPDATE_TIME SIZE (MB)
$(for name in first second third; do
    echo "$name DOCKER STANDARD_REPOSITORY $name europe-west1 a=b Google-managed-key $expected $expected 0"
  done)"
  equal "$(gcloud artifacts repositories list --location=europe-west1 --page-size=2 --format='value(name.basename())' |
    sort)" "first
second
third"
}
# In a place of their own, as well. What is not by name, gcloud sorts itself.
lists_some_repositories() {
  local name
  list_some() { gcloud artifacts repositories list --location=europe-west4 --format='value(name.basename())' "$@"; }
  for name in one other another; do a_repository "$name" europe-west4; done
  equal "$(list_some --sort-by=~name --limit=2)" "other
one"
  equal "$(list_some --sort-by=~createTime --limit=1)" another
  equal "$(list_some --filter='name~other' --sort-by=name)" "another
other"
  equal "$(list_some --filter="name=\"projects/$project/locations/europe-west4/repositories/o*\"" --sort-by=name)" "one
other"
}
lists_everywhere() {
  a_repository elsewhere asia-east1
  gcloud artifacts repositories list --format='csv[no-heading](name.segment(3),name.basename())' >everywhere
  grep -x asia-east1,elsewhere everywhere
  grep -x us-west1,images everywhere
}
updates() {
  local said
  a_repository updated us-east1 '{"description": "Before", "labels": {"stays": "yes", "goes": "yes"}}'
  said=$(prints "Updated repository [updated]." repositories update updated --description=After \
    --update-labels=comes=yes --remove-labels=goes --immutable-tags)
  has "description: After" <<<"$said"
  matches "$(repositories describe updated --format=json)" '.description == "After"
      and .labels == {stays: "yes", comes: "yes"} and .dockerConfig.immutableTags'
  repositories update updated --no-immutable-tags
  matches "$(repositories describe updated --format=json)" '.description == "After"
      and (.dockerConfig.immutableTags | not) and .labels == {stays: "yes", comes: "yes"}'
}
updates_labels_and_scanning() {
  new_repository scanned --location=us-east1 --labels=a=b --allow-vulnerability-scanning
  matches "$(repositories describe scanned --format=json)" '.labels == {a: "b"}
      and .vulnerabilityScanningConfig.enablementConfig == "INHERITED"'
  repositories update scanned --clear-labels --disable-vulnerability-scanning
  matches "$(repositories describe scanned --format=json)" '(has("labels") | not)
      and .vulnerabilityScanningConfig.enablementConfig == "DISABLED"'
  repositories update scanned --allow-vulnerability-scanning
  matches "$(repositories describe scanned --format=json)" '.vulnerabilityScanningConfig.enablementConfig == "INHERITED"'
  # Of other formats gcloud prints settings; of this one it has none.
  says "Invalid repository type DOCKER." gcloud artifacts print-settings npm --repository=scanned --location=us-east1
}
deletes_repository_later() {
  a_repository deleted-later us-east1
  prints "Delete request issued for: [deleted-later]" repositories delete deleted-later --async
  says NOT_FOUND repositories describe deleted-later
}
deletes_repository() {
  local image=$host/$project/deleted/deep/app
  a_repository deleted us-west1
  crane push layout16 "$image:1"
  prints "Deleted repository [deleted]." gcloud artifacts repositories delete deleted --location=us-west1
  says NOT_FOUND gcloud artifacts repositories describe deleted --location=us-west1
  gone "$image:1"
}
no_such_repository() {
  local command
  for command in describe delete get-iam-policy "update --description=x"; do
    # shellcheck disable=SC2086  # words
    says NOT_FOUND repositories $command none
  done
}

cleanup_policies() {
  local said
  a_repository cleaned us-east1
  cat >policies.json <<'JSON'
[{"name": "old", "action": {"type": "Delete"},
  "condition": {"tagState": "any", "olderThan": "30d", "packageNamePrefixes": ["team/web"]}},
 {"name": "keep", "action": {"type": "Keep"}, "mostRecentVersions": {"keepCount": 5}}]
JSON
  prints "Dry run is enabled." repositories set-cleanup-policies cleaned --policy=policies.json --dry-run
  said=$(repositories list-cleanup-policies cleaned)
  matches "$said" 'map(.name) == ["keep", "old"] and .[0].mostRecentVersions == {keepCount: 5}
      and (.[0].action.type | ascii_upcase) == "KEEP" and (.[1].action.type | ascii_upcase) == "DELETE"
      and (.[1].condition | .olderThan == "2592000s" and (.tagState | ascii_upcase) == "ANY"
           and .packageNamePrefixes == ["team/web"])'
  prints "Dry run is disabled." repositories set-cleanup-policies cleaned --policy=policies.json --no-dry-run
  repositories delete-cleanup-policies cleaned --policynames=old
  matches "$(repositories list-cleanup-policies cleaned)" 'map(.name) == ["keep"]'
  repositories delete-cleanup-policies cleaned --policynames=keep
  matches "$(repositories list-cleanup-policies cleaned)" '. == []'
}

reader_member=serviceAccount:$(email_of reader-account)
nobody_member=serviceAccount:$(email_of nobody-account)
iam_policies() {
  local said
  a_repository shared us-east1
  repositories add-iam-policy-binding shared --member="$reader_member" --role=roles/artifactregistry.writer
  repositories add-iam-policy-binding shared --member="$nobody_member" --role=roles/artifactregistry.writer
  said=$(repositories get-iam-policy shared --format=json)
  matches "$said" '.etag and (.bindings | length == 1) and .bindings[0].role == "roles/artifactregistry.writer"
      and (.bindings[0].members | sort == [$nobody, $reader])' \
    --arg nobody "$nobody_member" --arg reader "$reader_member"
  repositories remove-iam-policy-binding shared --member="$nobody_member" --role=roles/artifactregistry.writer
  matches "$(repositories get-iam-policy shared --format=json)" '.bindings == [{role: $role, members: [$reader]}]' \
    --arg role roles/artifactregistry.writer --arg reader "$reader_member"
}
whole_iam_policy() {
  a_repository owned us-east1
  jq -n --arg member "$nobody_member" \
    '{bindings: [{role: "roles/artifactregistry.repoAdmin", members: [$member]}]}' >policy.json
  repositories set-iam-policy owned policy.json
  matches "$(repositories get-iam-policy owned --format=json)" '.bindings == [{role: $role, members: [$member]}]' \
    --arg role roles/artifactregistry.repoAdmin --arg member "$nobody_member"
  # Written before the policy is what it is now: nothing of it is kept.
  repositories get-iam-policy owned --format=json >before.json
  repositories add-iam-policy-binding owned --member="$reader_member" --role=roles/artifactregistry.reader
  says ABORTED repositories set-iam-policy owned before.json
  matches "$(repositories get-iam-policy owned --format=json)" '.bindings | length == 2'
}

lists_locations() {
  gcloud artifacts locations list >locations
  equal "$(head -n 1 locations)" LOCATIONS
  local name
  for name in us europe asia us-west1 europe-west1; do grep -x "$name" locations; done
  sed 1d locations | sort --check
}
