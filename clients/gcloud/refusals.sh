# shellcheck shell=bash
# Requests that the registry refuses. Sourced by clients/gcloud/run.

refusal_checks() {
  check_parallel "no command finds a repository that does not exist" no_repository
  check_parallel "no command finds an image that does not exist" no_image
  check_parallel "no command finds a tag that does not exist" no_tag
  check_parallel "immutable tags are neither moved nor deleted" immutable_tags_stay
  check_parallel "a reader lists and describes" reader_reads
  check_parallel "a reader deletes nothing" reader_deletes_nothing
  check_parallel "a reader changes no tag" reader_changes_no_tag
  check_parallel "an account without a role lists nothing" without_a_role
}
no_repository() {
  expect_refused NOT_FOUND list "$registry_host/$project/none"
  expect_refused NOT_FOUND tags list "$registry_host/$project/none/app"
  expect_refused NOT_FOUND within none packages list
}
no_image() {
  expect_refused NOT_FOUND delete "$images/none"
  expect_refused NOT_FOUND within images versions list --package=none
  expect_refused NOT_FOUND delete "$images/app@$(digest_of layout16)"
}
no_tag() {
  expect_refused NOT_FOUND tags add "$images/app:none" "$images/app:new"
  expect_refused NOT_FOUND tags add "$images/app@$(digest_of layout16)" "$images/app:new"
  expect_refused NOT_FOUND tags delete "$images/app:none"
  expect_refused NOT_FOUND delete "$images/app:none"
  expect_gone "$images/app:new"
}

immutable="The repository has enabled tag immutability"
immutable_tags_stay() {
  gcloud artifacts repositories update locked --location=us-west1 --immutable-tags
  expect_refused "$immutable" tags add "$locked/app:1" "$locked/app:2"
  expect_refused "$immutable" tags delete "$locked/app:2"
  expect_refused "$immutable" delete "$locked/app:2"
  expect_refused "$immutable" delete "$locked/app"
  expect_refused FAILED_PRECONDITION within locked versions delete "$(digest_of layout11)" --package=app
  expect_refused "$immutable" within locked versions delete "$(digest_of layout11)" --package=app --delete-tags
  expect_refused "$immutable" within locked tags update 2 --version="$(digest_of layout10)" --package=app
  expect_image "$locked/app:1" layout10
  expect_image "$locked/app:2" layout11
  # A new tag changes no other one.
  tags add "$locked/app:1" "$locked/app:new"
  expect_image "$locked/app:new" layout10
}

reader_reads() {
  expect_table "$(as_account reader list "$images/team/web/front")" "$(rows team/web/front)"
  expect_equal "$(as_account reader list "$images" --format='value(version)' | wc -l)" 9
  as_account reader expect_described "$images/app:1.0" "$images/app" layout11
}
# expect_denied PERMISSION COMMAND…: the command is refused with PERMISSION_DENIED and the name of the permission.
expect_denied() {
  local output
  output=$(expect_refused PERMISSION_DENIED "${@:2}")
  expect_text "$1" <<<"$output"
}
reader_deletes_nothing() {
  expect_denied artifactregistry.packages.delete as_account reader delete "$images/app"
  expect_denied artifactregistry.versions.delete as_account reader delete "$images/app@$(digest_of layout10)"
  expect_denied artifactregistry.tags.delete as_account reader delete "$images/team-two/app:1"
  expect_denied artifactregistry.repositories.delete as_account reader \
    gcloud artifacts repositories delete images --location=us-west1
  expect_image "$images/app@$(digest_of layout10)" layout10
  expect_image "$images/team-two/app:1" layout15
}
reader_changes_no_tag() {
  expect_denied artifactregistry.tags.create as_account reader tags add "$images/app:1.0" "$images/app:new"
  expect_denied artifactregistry.tags.delete as_account reader tags add "$images/app:1.0" "$images/app:2.0"
  expect_denied artifactregistry.tags.update as_account reader \
    within images tags update 2.0 --version="$(digest_of layout11)" --package=app
  expect_image "$images/app:2.0" layout12
}
without_a_role() {
  expect_denied artifactregistry.repositories.get as_account nobody list "$images"
  expect_denied artifactregistry.packages.list as_account nobody within images packages list
}
