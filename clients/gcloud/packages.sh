# shellcheck shell=bash
# Packages, their versions and their tags. Sourced by clients/gcloud/run.

package_checks() {
  check_parallel "packages list" lists_packages
  check_parallel "packages list: pages, order, limit, filter" lists_some_packages
  check_parallel "packages list by age" lists_packages_by_age
  check_parallel "packages describe and delete" package_comes_and_goes
  check_parallel "versions list" lists_versions
  check_parallel "versions list: pages, order, limit, filter" lists_some_versions
  check_parallel "versions describe" describes_versions
  check_parallel "versions describe of an index" describes_version_of_index
  check_parallel "versions describe: an image has no artifact type" image_has_no_artifact_type
  check_parallel "versions delete" deletes_versions
  check_parallel "versions delete with tags" deletes_versions_with_tags
  check_parallel "packages update, versions update" annotates
  check_parallel "tags list" lists_package_tags
  check_parallel "tags create, update and delete" tag_comes_and_goes
}

# within REPOSITORY COMMAND…: runs a command of gcloud artifacts on the repository.
within() { gcloud artifacts "${@:2}" --repository="$1" --location=us-west1; }
base=projects/$project/locations/us-west1/repositories

# The times of a package are those of its first version and of the last change in it.
package_rows() {
  local name created updated
  for name in "${all[@]}"; do
    read -r _ created updated _ < <(versions_of "$name")
    echo "$name $created $updated"
  done
}
lists_packages() {
  local output
  output=$(within images packages list 2>packages.err)
  expect_text "Listing items under project $project, location us-west1, repository images." <packages.err
  expect_table "$output" "PACKAGE CREATE_TIME UPDATE_TIME ANNOTATIONS
$(package_rows)"
}
package_names() { within images packages list --format='value(name)' "$@"; }
lists_some_packages() {
  expect_equal "$(package_names --page-size=2 | sort)" "$(printf '%s\n' "${all[@]}" | sort)"
  expect_equal "$(package_names --sort-by=name --limit=1)" app
  expect_equal "$(package_names --sort-by=~update_time --limit=1)" app
  expect_equal "$(package_names --filter="name=\"$base/images/packages/team*\"" | sort)" "team-two/app
team/web/back
team/web/front"
}
# If the registry refused this order, gcloud would ask again without it and show whichever package came first.
lists_packages_by_age() {
  expect_equal "$(package_names --sort-by=create_time --limit=1)" app
  expect_equal "$(package_names --sort-by=~create_time --limit=1)" multi
}
package_comes_and_goes() {
  local output
  output=$(within changes packages describe package/gone --format=json)
  expect_json "$output" '.name == $name and (.createTime <= .updateTime)' --arg name "$base/changes/packages/package%2Fgone"
  expect_output "Deleted package [package/gone]." within changes packages delete package/gone
  expect_gone "$changes/package/gone:1" "$changes/package/gone:2"
  expect_refused NOT_FOUND within changes packages describe package/gone
  expect_refused NOT_FOUND within changes packages delete package/gone
}

version_header="VERSION DESCRIPTION CREATE_TIME UPDATE_TIME SIZE ANNOTATIONS"
lists_versions() {
  local output
  output=$(within images versions list --package=app 2>versions.err)
  expect_text "Listing items under project $project, location us-west1, repository images, package app." <versions.err
  expect_table "$output" "$version_header
$(versions_of app)"
  expect_table "$(within images versions list --package=team/web/back)" "$version_header
$(versions_of team/web/back)"
  expect_table "$(within images versions list --package=multi)" "$version_header
$(versions_of multi)"
}
versions() { within images versions list --package=app --format='value(name.basename())' "$@"; }
lists_some_versions() {
  expect_equal "$(versions --page-size=2 | sort)" "$(for n in 10 11 12; do digest_of "layout$n"; done | sort)"
  expect_equal "$(versions --sort-by=~create_time --limit=2)" "$(digest_of layout12)
$(digest_of layout11)"
  expect_equal "$(versions --filter="name=\"$base/images/packages/app/versions/$(digest_of layout11)\"")" \
    "$(digest_of layout11)"
}
describes_versions() {
  local output digest size
  read -r digest size <layout11.digests
  output=$(within images versions describe "$digest" --package=app --format=json)
  expect_json "$output" '.name == $name and (.relatedTags | sort == ["1.0", "moving"])
      and .metadata.imageSizeBytes == $size' \
    --arg name "$base/images/packages/app/versions/$digest" --arg size "$size"
  read -r digest size <layout13.digests
  output=$(within images versions describe "$digest" --package=team/web/front --format=json)
  expect_json "$output" '.name == $name and .relatedTags == ["1"]' \
    --arg name "$base/images/packages/team%2Fweb%2Ffront/versions/$digest"
  expect_refused NOT_FOUND within images versions describe "$digest" --package=app
}
describes_version_of_index() {
  local output
  output=$(within images versions describe "$(digest_of layout17)" --package=multi --format=json)
  expect_json "$output" '.relatedTags == ["1"] and .metadata.imageSizeBytes == "0"
      and .metadata.mediaType == "application/vnd.oci.image.index.v1+json" and .metadata.buildTime == null'
}
# The artifact type is that of the manifest, or the media type of the configuration where the manifest has a subject.
image_has_no_artifact_type() {
  local output
  output=$(within images versions describe "$(digest_of layout13)" --package=team/web/front --format=json)
  expect_json "$output" '.metadata | .artifactType == null and .subjectDigest == null'
}
deletes_versions() {
  local image=$changes/versions/untagged
  expect_refused FAILED_PRECONDITION within changes versions delete "$(digest_of layout11)" --package=versions/untagged
  expect_image "$image:1" layout11
  expect_output "Deleted version [$(digest_of layout10)]." \
    within changes versions delete "$(digest_of layout10)" --package=versions/untagged
  expect_gone "$image@$(digest_of layout10)"
  expect_refused NOT_FOUND within changes versions delete "$(digest_of layout10)" --package=versions/untagged
}
deletes_versions_with_tags() {
  local image=$changes/versions/own
  expect_output "Deleted version [$(digest_of layout11)]." \
    within changes versions delete "$(digest_of layout11)" --package=versions/own --delete-tags
  expect_gone "$image:2" "$image:also" "$image@$(digest_of layout11)"
  expect_image "$image:1" layout10
}
# `list` and `describe` show annotations. Each update replaces all of them.
annotates() {
  local output version
  version=$(digest_of layout11)
  expect_output "Updated package [tags/own]." within changes packages update tags/own --annotations=team=web,stage=test
  expect_json "$(within changes packages describe tags/own --format=json)" '.annotations == {team: "web", stage: "test"}'
  output=$(within changes packages list --format='csv[no-heading](name,annotations)')
  expect_text 'tags/own,stage=test;team=web' <<<"$output"
  expect_equal "$(within changes packages list --filter=annotations.team:web --format='value(name)')" tags/own
  expect_equal "$(within changes packages list --filter='annotations.`stage`:te*' --format='value(name)')" tags/own
  expect_output "Updated version [$version]." within changes versions update "$version" --package=versions/own-notes \
    --annotations=checked=yes
  expect_json "$(within changes versions describe "$version" --package=versions/own-notes --format=json)" \
    '.annotations.additionalProperties == [{key: "checked", value: "yes"}]'
  within changes versions update "$version" --package=versions/own-notes --annotations={}
  expect_json "$(within changes versions describe "$version" --package=versions/own-notes --format=json)" \
    'has("annotations") | not'
  expect_refused NOT_FOUND within changes packages update none --annotations=a=b
  expect_denied artifactregistry.packages.update as_account reader within images packages update app --annotations=a=b
}

lists_package_tags() {
  local expected
  expected="TAG VERSION
1.0 $(digest_of layout11)
moving $(digest_of layout11)
2.0 $(digest_of layout12)
latest $(digest_of layout12)"
  expect_table "$(within images tags list --package=app)" "$expected"
  expect_table "$(within images tags list --package=app --page-size=2)" "$expected"
  expect_table "$(within images tags list --package=team/web/back)" "TAG VERSION
1 $(digest_of layout14)"
  # The registry filters these, not gcloud.
  expect_equal "$(within images tags list --package=app --format='value(name.basename())' \
    --filter="version=\"$base/images/packages/app/versions/$(digest_of layout12)\"" | sort)" "2.0
latest"
}
tag_comes_and_goes() {
  local image=$changes/tags/own package=$base/changes/packages/tags%2Fown output
  # These two commands of gcloud 528 take no slash in the name of a package.
  local tag_package=tags%2Fown
  expect_output "Created tag [new]." tag create new --version="$(digest_of layout10)"
  expect_image "$image:new" layout10
  expect_refused ALREADY_EXISTS tag create new --version="$(digest_of layout11)"
  expect_refused NOT_FOUND tag create other --version="$(digest_of layout16)"
  output=$(tag update new --version="$(digest_of layout11)")
  expect_text "name: $package/tags/new" <<<"$output"
  expect_text "version: $package/versions/$(digest_of layout11)" <<<"$output"
  expect_image "$image:new" layout11
  expect_refused NOT_FOUND tag update none --version="$(digest_of layout11)"
  tag_package=tags/own
  expect_output "Deleted tag [new]." tag delete new
  expect_gone "$image:new"
  expect_refused NOT_FOUND tag delete new
}
tag() { within changes tags "$@" --package="$tag_package"; }
