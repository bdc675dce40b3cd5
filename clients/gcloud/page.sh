# shellcheck shell=bash
# docs/images.md, from top to bottom, in a project of its own. Sourced by clients/gcloud/run.

page=docs/images.md documented_project=team-two

# Each command of the page needs those before it, so that all of them are one check.
page_runs() (
  set -e
  export CLOUDSDK_CORE_PROJECT=$documented_project
  images=$registry_host/$documented_project/images
  api projects --data "{\"projectId\":\"$documented_project\"}"
  api "projects/$documented_project/locations/us-west1/repositories?repositoryId=images" --data '{"format":"DOCKER"}'
  crane push layout10 "$images/web:1.0"
  crane tag "$images/web:1.0" latest
  crane push layout11 "$images/web:2.0"
  crane push layout12 "$images/old:1"

  digest=$(digest_of layout10)
  output=$(run_page Look)
  [[ $(grep -c "$images/web *$digest" <<<"$output") -ge 3 ]]
  expect_text "fully_qualified_digest: $images/web@$digest" <<<"$output"

  run_page Tag "web:1.0 HOST"
  expect_image "$images/web:stable" layout10
  output=$(run_page Files "files list")
  [[ $(grep -c "/packages/web/versions/$digest" <<<"$output") -ge 3 ]]
  expect_text "sizeBytes: " < <(run_page Files describe)
  run_page Files download
  cmp "sha256%3A${digest#sha256:}" "layout10/blobs/sha256/${digest#sha256:}"

  digest=$(digest_of layout11)
  run_page Tag @DIGEST
  expect_image "$images/web:stable" layout11
  run_page Tag "tags delete"
  expect_gone "$images/web:stable"
  run_page Tag "tags update"
  expect_image "$images/web:latest" layout11

  run_page Delete web:2.0
  expect_gone "$images/web:2.0" "$images/web:latest" "$images/web@$digest"
  crane push layout11 "$images/web:passing"
  crane push layout13 "$images/web:passing"
  run_page Delete @DIGEST
  expect_gone "$images/web@$digest"
  run_page Delete old
  expect_gone "$images/old:1"

  run_page "Tags that stay" " --immutable-tags"
  output=$(run_page "Tags that stay" describe)
  expect_text "immutableTags: true" <<<"$output"
  output=$(crane push layout12 "$images/web:1.0" 2>&1) && return 1
  expect_text "cannot update tag 1.0. The repository has enabled tag immutability; 1.0 is $(digest_of layout10)" <<<"$output"
  run_page "Tags that stay" " --no-immutable-tags"
  crane push layout12 "$images/web:1.0"

  local build
  for build in 0 1 2; do crane push "layout1$build" "$images/job:ci-$build"; done
  block_of "$page" Cleanup json >policy.json
  output=$(run_page Cleanup "policy.json --dry-run" 2>&1)
  expect_text "Dry run is enabled." <<<"$output"
  output=$(run_page Cleanup list-cleanup-policies)
  expect_text mostRecentVersions <<<"$output"
  export BERTH_DATA=$data
  output=$(run_page Cleanup "berth cleanup --dry-run")
  expect_text "job@$(digest_of layout10)  ci-0  " <<<"$output"
  expect_text "1 of " <<<"$output"
  run_page Cleanup "policy.json --no-dry-run"
  output=$(run_page Cleanup "berth cleanup team-one")
  expect_text " versions deleted" <<<"$output"
  expect_gone "$images/job:ci-0"
  expect_image "$images/job:ci-1" layout11
  run_page Cleanup delete-cleanup-policies

  digest=$(digest_of layout11)
  crane push layout11 "$images/web:1.1"
  run_page Rules "rules create"
  output=$(crane manifest "$images/web:1.0" 2>&1) && return 1
  expect_text DENIED <<<"$output"
  output=$(run_page Rules "rules list")
  expect_text no-old <<<"$output"
  run_page Rules "rules update"
  expect_image "$images/web:1.0" layout12
  run_page Rules "rules delete"
  run_page Annotations
  output=$(gcloud artifacts packages describe web --repository=images --location=us-west1)
  expect_text "team: shop" <<<"$output"
  expect_whole_page_ran
)
