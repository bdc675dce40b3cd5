# shellcheck shell=bash
# Commands that delete images and change their tags. Sourced by clients/gcloud/run.

change_checks() {
  check_parallel "images delete by the only tag" deletes_by_only_tag
  check_parallel "images delete by one of several tags" deletes_by_one_tag
  check_parallel "images delete by digest" deletes_by_digest
  check_parallel "images delete by digest, without tags" deletes_untagged
  check_parallel "images delete of a whole image" deletes_whole
  check_parallel "images delete --async, and its operation" deletes_later
  check_parallel "docker tags add and delete" adds_tags
  check_parallel "docker tags add moves a tag" moves_tag
}

# expect_gone NAME…: the registry has none of these images.
expect_gone() {
  local name output
  for name in "$@"; do
    if output=$(crane digest "$name" 2>&1); then echo "the registry still has $name"; return 1; fi
    grep -E 'MANIFEST_UNKNOWN|NAME_UNKNOWN|404 Not Found' <<<"$output"
  done
}
# expect_image NAME LAYOUT: the tag or digest names the image of the layout.
expect_image() { expect_equal "$(crane digest "$1")" "$(digest_of "$2")"; }
delete() { gcloud artifacts docker images delete "$@"; }

deletes_by_only_tag() {
  local image=$changes/deleted/alone output
  output=$(delete "$image:1" 2>&1)
  expect_text "- $image@$(digest_of layout10)" <<<"$output"
  expect_text "- $image:1" <<<"$output"
  expect_text "Delete request issued." <<<"$output"
  expect_gone "$image:1" "$image@$(digest_of layout10)"
  expect_image "$image:2" layout11
}
deletes_by_one_tag() {
  local image=$changes/deleted/several output
  output=$(expect_refused "Cannot delete image $image:2 because it is tagged. Existing tags are:" delete "$image:2")
  expect_text "- $image:2" <<<"$output"
  expect_text "- $image:also" <<<"$output"
  expect_image "$image:2" layout11
  expect_image "$image:also" layout11
  expect_output "Delete request issued." delete "$image:2" --delete-tags
  expect_gone "$image:2" "$image:also" "$image@$(digest_of layout11)"
  expect_image "$image:1" layout10
}
deletes_by_digest() {
  local image=$changes/deleted/by-digest
  expect_refused "because it is tagged" delete "$image@$(digest_of layout11)"
  expect_output "Delete request issued." delete "$image@$(digest_of layout11)" --delete-tags
  expect_gone "$image:2" "$image:also" "$image@$(digest_of layout11)"
  expect_image "$image:1" layout10
}
deletes_untagged() {
  local image=$changes/deleted/untagged
  expect_output "Delete request issued." delete "$image@$(digest_of layout10)"
  expect_gone "$image@$(digest_of layout10)"
  expect_image "$image:1" layout11
}
deletes_whole() {
  local image=$changes/deleted/whole digest
  expect_output "Delete request issued." delete "$image"
  expect_gone "$image:1" "$image:2" "$image:multi"
  # The images of an index have no tags, and are deleted too.
  while read -r digest _; do expect_gone "$image@$digest"; done < <(cat layout10.digests layout17.digests)
  expect_output "Listed 0 items." list "$image"
}
deletes_later() {
  local image=$changes/deleted/later output operation
  output=$(expect_output "Check operation [projects/$project/locations/us-west1/operations/" delete "$image" --async)
  operation=$(sed -n 's/.*Check operation \[\(.*\)\] for status.*/\1/p' <<<"$output")
  wait_for 10 expect_gone "$image:1" "$image:2"
  output=$(gcloud artifacts operations describe "$operation" --format=json)
  expect_json "$output" '.name == $name and .done and (.error | not)' --arg name "$operation"
  expect_refused NOT_FOUND gcloud artifacts operations describe "${operation%/*}/none"
}

tags() { gcloud artifacts docker tags "$@"; }
adds_tags() {
  local image=$changes/tags/added
  expect_output "Added tag [$image:by-tag] to image [$image:1]." tags add "$image:1" "$image:by-tag"
  expect_image "$image:by-tag" layout10
  expect_output "Added tag [$image:by-digest]" tags add "$image@$(digest_of layout11)" "$image:by-digest"
  expect_image "$image:by-digest" layout11
  expect_output "Deleted tag [$image:by-tag]." tags delete "$image:by-tag"
  expect_gone "$image:by-tag"
  expect_image "$image:1" layout10
}
moves_tag() {
  local image=$changes/tags/moved
  expect_output "Added tag [$image:2] to image [$image:1]." tags add "$image:1" "$image:2"
  expect_image "$image:2" layout10
  expect_image "$image:also" layout11
}
