# shellcheck shell=bash
# docs/images.md, from top to bottom, in a project of its own. Sourced by clients/gcloud.

page=docs/images.md documented_project=team-two

# The page's commands follow each other, so they are one check.
page_runs() (
  set -e
  export CLOUDSDK_CORE_PROJECT=$documented_project
  images=$host/$documented_project/images
  api projects --data "{\"projectId\":\"$documented_project\"}"
  api "projects/$documented_project/locations/us-west1/repositories?repositoryId=images" --data '{"format":"DOCKER"}'
  crane push layout10 "$images/web:1.0"
  crane tag "$images/web:1.0" latest
  crane push layout11 "$images/web:2.0"
  crane push layout12 "$images/old:1"

  digest=$(digest_of layout10)
  said=$(run_page Look)
  [[ $(grep -c "$images/web *$digest" <<<"$said") -ge 3 ]]
  has "fully_qualified_digest: $images/web@$digest" <<<"$said"

  run_page Tag "web:1.0 HOST"
  is "$images/web:stable" layout10
  said=$(run_page Files "files list")
  [[ $(grep -c "/packages/web/versions/$digest" <<<"$said") -ge 3 ]]
  has "sizeBytes: " < <(run_page Files describe)
  run_page Files download
  cmp "sha256%3A${digest#sha256:}" "layout10/blobs/sha256/${digest#sha256:}"

  digest=$(digest_of layout11)
  run_page Tag @DIGEST
  is "$images/web:stable" layout11
  run_page Tag "tags delete"
  gone "$images/web:stable"
  run_page Tag "tags update"
  is "$images/web:latest" layout11

  run_page Delete web:2.0
  gone "$images/web:2.0" "$images/web:latest" "$images/web@$digest"
  crane push layout11 "$images/web:passing"
  crane push layout13 "$images/web:passing"
  run_page Delete @DIGEST
  gone "$images/web@$digest"
  run_page Delete old
  gone "$images/old:1"

  run_page "Tags that stay" " --immutable-tags"
  said=$(run_page "Tags that stay" describe)
  has "immutableTags: true" <<<"$said"
  said=$(crane push layout12 "$images/web:1.0" 2>&1) && return 1
  has "cannot update tag 1.0. The repository has enabled tag immutability; 1.0 is $(digest_of layout10)" <<<"$said"
  run_page "Tags that stay" " --no-immutable-tags"
  crane push layout12 "$images/web:1.0"

  local build
  for build in 0 1 2; do crane push "layout1$build" "$images/job:ci-$build"; done
  awk '/^## / { section = $2 } /^```/ { inside = section == "Cleanup" && $0 == "```json"; next } inside' \
    "$root/$page" >policy.json
  said=$(run_page Cleanup "policy.json --dry-run" 2>&1)
  has "Dry run is enabled." <<<"$said"
  said=$(run_page Cleanup list-cleanup-policies)
  has mostRecentVersions <<<"$said"
  export BERTH_DATA=$data
  said=$(run_page Cleanup "berth cleanup --dry-run")
  has "job@$(digest_of layout10)  ci-0  " <<<"$said"
  has "1 of " <<<"$said"
  run_page Cleanup "policy.json --no-dry-run"
  said=$(run_page Cleanup "berth cleanup team-one")
  has " versions deleted" <<<"$said"
  gone "$images/job:ci-0"
  is "$images/job:ci-1" layout11
  run_page Cleanup delete-cleanup-policies

  digest=$(digest_of layout11)
  crane push layout11 "$images/web:1.1"
  run_page Rules "rules create"
  said=$(crane manifest "$images/web:1.0" 2>&1) && return 1
  has DENIED <<<"$said"
  said=$(run_page Rules "rules list")
  has no-old <<<"$said"
  run_page Rules "rules update"
  is "$images/web:1.0" layout12
  run_page Rules "rules delete"
  run_page Annotations
  said=$(gcloud artifacts packages describe web --repository=images --location=us-west1)
  has "team: shop" <<<"$said"
  whole_page_ran
)
