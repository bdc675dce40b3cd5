# shellcheck shell=bash
# What deletes images, packages, versions and tags, and what changes tags; what is refused. Sourced by clients/gcloud.

change_checks() {
  beside "images delete by the only tag" deletes_by_only_tag
  beside "images delete by one of several tags" deletes_by_one_tag
  beside "images delete by digest" deletes_by_digest
  beside "images delete by digest, without tags" deletes_untagged
  beside "images delete of a whole image" deletes_whole
  beside "images delete for later, and its operation" deletes_later
  beside "docker tags add and delete" adds_tags
  beside "docker tags add moves a tag" moves_tag
  beside "packages list" lists_packages
  beside "packages list: pages, order, limit, filter" lists_some_packages
  beside "packages list by age" lists_packages_by_age
  beside "packages describe and delete" package_comes_and_goes
  beside "versions list" lists_versions
  beside "versions list: pages, order, limit, filter" lists_some_versions
  beside "versions describe" describes_versions
  beside "versions describe of an index" describes_version_of_index
  beside "versions describe: an image is no artifact" image_is_no_artifact
  beside "versions delete" deletes_versions
  beside "versions delete with tags" deletes_versions_with_tags
  beside "packages update, versions update" annotates
  beside "tags list" lists_package_tags
  beside "tags create, update and delete" tag_comes_and_goes
}

# gone NAME…: the registry has none of them.
gone() {
  local name said
  for name in "$@"; do
    if said=$(crane digest "$name" 2>&1); then echo "is there: $name"; return 1; fi
    grep -E 'MANIFEST_UNKNOWN|NAME_UNKNOWN|404 Not Found' <<<"$said"
  done
}
is() { equal "$(crane digest "$1")" "$(digest_of "$2")"; }
delete() { gcloud artifacts docker images delete "$@"; }

deletes_by_only_tag() {
  local image=$changes/deleted/alone said
  said=$(delete "$image:1" 2>&1)
  has "- $image@$(digest_of layout10)" <<<"$said"
  has "- $image:1" <<<"$said"
  has "Delete request issued." <<<"$said"
  gone "$image:1" "$image@$(digest_of layout10)"
  is "$image:2" layout11
}
deletes_by_one_tag() {
  local image=$changes/deleted/several said
  said=$(says "Cannot delete image $image:2 because it is tagged. Existing tags are:" delete "$image:2")
  has "- $image:2" <<<"$said"
  has "- $image:also" <<<"$said"
  is "$image:2" layout11
  is "$image:also" layout11
  prints "Delete request issued." delete "$image:2" --delete-tags
  gone "$image:2" "$image:also" "$image@$(digest_of layout11)"
  is "$image:1" layout10
}
deletes_by_digest() {
  local image=$changes/deleted/by-digest
  says "because it is tagged" delete "$image@$(digest_of layout11)"
  prints "Delete request issued." delete "$image@$(digest_of layout11)" --delete-tags
  gone "$image:2" "$image:also" "$image@$(digest_of layout11)"
  is "$image:1" layout10
}
deletes_untagged() {
  local image=$changes/deleted/untagged
  prints "Delete request issued." delete "$image@$(digest_of layout10)"
  gone "$image@$(digest_of layout10)"
  is "$image:1" layout11
}
deletes_whole() {
  local image=$changes/deleted/whole digest
  prints "Delete request issued." delete "$image"
  gone "$image:1" "$image:2" "$image:multi"
  # What has no tag of its own goes too: the images of an index.
  while read -r digest _; do gone "$image@$digest"; done < <(cat layout10.digests layout17.digests)
  prints "Listed 0 items." list "$image"
}
deletes_later() {
  local image=$changes/deleted/later said operation
  said=$(prints "Check operation [projects/$project/locations/us-west1/operations/" delete "$image" --async)
  operation=$(sed -n 's/.*Check operation \[\(.*\)\] for status.*/\1/p' <<<"$said")
  wait_for 10 gone "$image:1" "$image:2"
  said=$(gcloud artifacts operations describe "$operation" --format=json)
  matches "$said" '.name == $name and .done and (.error | not)' --arg name "$operation"
  says NOT_FOUND gcloud artifacts operations describe "${operation%/*}/none"
}

tags() { gcloud artifacts docker tags "$@"; }
adds_tags() {
  local image=$changes/tags/added
  prints "Added tag [$image:by-tag] to image [$image:1]." tags add "$image:1" "$image:by-tag"
  is "$image:by-tag" layout10
  prints "Added tag [$image:by-digest]" tags add "$image@$(digest_of layout11)" "$image:by-digest"
  is "$image:by-digest" layout11
  prints "Deleted tag [$image:by-tag]." tags delete "$image:by-tag"
  gone "$image:by-tag"
  is "$image:1" layout10
}
moves_tag() {
  local image=$changes/tags/moved
  prints "Added tag [$image:2] to image [$image:1]." tags add "$image:1" "$image:2"
  is "$image:2" layout10
  is "$image:also" layout11
}

# within REPOSITORY COMMAND…: of gcloud artifacts.
within() { gcloud artifacts "${@:2}" --repository="$1" --location=us-west1; }
base=projects/$project/locations/us-west1/repositories

# A package is as old as its first version, and as new as what was changed in it last.
package_rows() {
  local name created updated
  for name in "${all[@]}"; do
    read -r _ created updated _ < <(versions_of "$name")
    echo "$name $created $updated"
  done
}
lists_packages() {
  local said
  said=$(within images packages list 2>said-packages)
  has "Listing items under project $project, location us-west1, repository images." <said-packages
  same_table "$said" "PACKAGE CREATE_TIME UPDATE_TIME ANNOTATIONS
$(package_rows)"
}
package_names() { within images packages list --format='value(name)' "$@"; }
lists_some_packages() {
  equal "$(package_names --page-size=2 | sort)" "$(printf '%s\n' "${all[@]}" | sort)"
  equal "$(package_names --sort-by=name --limit=1)" app
  equal "$(package_names --sort-by=~update_time --limit=1)" app
  equal "$(package_names --filter="name=\"$base/images/packages/team*\"" | sort)" "team-two/app
team/web/back
team/web/front"
}
# Where the registry refuses an order, gcloud asks again without it, and shows whatever is first.
lists_packages_by_age() {
  equal "$(package_names --sort-by=create_time --limit=1)" app
  equal "$(package_names --sort-by=~create_time --limit=1)" multi
}
package_comes_and_goes() {
  local said
  said=$(within changes packages describe package/gone --format=json)
  matches "$said" '.name == $name and (.createTime <= .updateTime)' --arg name "$base/changes/packages/package%2Fgone"
  prints "Deleted package [package/gone]." within changes packages delete package/gone
  gone "$changes/package/gone:1" "$changes/package/gone:2"
  says NOT_FOUND within changes packages describe package/gone
  says NOT_FOUND within changes packages delete package/gone
}

version_header="VERSION DESCRIPTION CREATE_TIME UPDATE_TIME SIZE ANNOTATIONS"
lists_versions() {
  local said
  said=$(within images versions list --package=app 2>said-versions)
  has "Listing items under project $project, location us-west1, repository images, package app." <said-versions
  same_table "$said" "$version_header
$(versions_of app)"
  same_table "$(within images versions list --package=team/web/back)" "$version_header
$(versions_of team/web/back)"
  same_table "$(within images versions list --package=multi)" "$version_header
$(versions_of multi)"
}
versions() { within images versions list --package=app --format='value(name.basename())' "$@"; }
lists_some_versions() {
  equal "$(versions --page-size=2 | sort)" "$(for n in 10 11 12; do digest_of "layout$n"; done | sort)"
  equal "$(versions --sort-by=~create_time --limit=2)" "$(digest_of layout12)
$(digest_of layout11)"
  equal "$(versions --filter="name=\"$base/images/packages/app/versions/$(digest_of layout11)\"")" \
    "$(digest_of layout11)"
}
describes_versions() {
  local said digest size
  read -r digest size <layout11.digests
  said=$(within images versions describe "$digest" --package=app --format=json)
  matches "$said" '.name == $name and (.relatedTags | sort == ["1.0", "moving"])
      and .metadata.imageSizeBytes == $size' \
    --arg name "$base/images/packages/app/versions/$digest" --arg size "$size"
  read -r digest size <layout13.digests
  said=$(within images versions describe "$digest" --package=team/web/front --format=json)
  matches "$said" '.name == $name and .relatedTags == ["1"]' \
    --arg name "$base/images/packages/team%2Fweb%2Ffront/versions/$digest"
  says NOT_FOUND within images versions describe "$digest" --package=app
}
describes_version_of_index() {
  local said
  said=$(within images versions describe "$(digest_of layout17)" --package=multi --format=json)
  matches "$said" '.relatedTags == ["1"] and .metadata.imageSizeBytes == "0"
      and .metadata.mediaType == "application/vnd.oci.image.index.v1+json" and .metadata.buildTime == null'
}
# A kind of artifact is what the manifest says, or what the configuration is where there is a subject.
image_is_no_artifact() {
  local said
  said=$(within images versions describe "$(digest_of layout13)" --package=team/web/front --format=json)
  matches "$said" '.metadata | .artifactType == null and .subjectDigest == null'
}
deletes_versions() {
  local image=$changes/versions/untagged
  says FAILED_PRECONDITION within changes versions delete "$(digest_of layout11)" --package=versions/untagged
  is "$image:1" layout11
  prints "Deleted version [$(digest_of layout10)]." \
    within changes versions delete "$(digest_of layout10)" --package=versions/untagged
  gone "$image@$(digest_of layout10)"
  says NOT_FOUND within changes versions delete "$(digest_of layout10)" --package=versions/untagged
}
deletes_versions_with_tags() {
  local image=$changes/versions/own
  prints "Deleted version [$(digest_of layout11)]." \
    within changes versions delete "$(digest_of layout11)" --package=versions/own --delete-tags
  gone "$image:2" "$image:also" "$image@$(digest_of layout11)"
  is "$image:1" layout10
}
# The table and what is described show annotations; each update replaces all of them.
annotates() {
  local said version
  version=$(digest_of layout11)
  prints "Updated package [tags/own]." within changes packages update tags/own --annotations=team=web,stage=test
  matches "$(within changes packages describe tags/own --format=json)" '.annotations == {team: "web", stage: "test"}'
  said=$(within changes packages list --format='csv[no-heading](name,annotations)')
  has 'tags/own,stage=test;team=web' <<<"$said"
  equal "$(within changes packages list --filter=annotations.team:web --format='value(name)')" tags/own
  equal "$(within changes packages list --filter='annotations.`stage`:te*' --format='value(name)')" tags/own
  prints "Updated version [$version]." within changes versions update "$version" --package=versions/own-notes \
    --annotations=checked=yes
  matches "$(within changes versions describe "$version" --package=versions/own-notes --format=json)" \
    '.annotations.additionalProperties == [{key: "checked", value: "yes"}]'
  within changes versions update "$version" --package=versions/own-notes --annotations={}
  matches "$(within changes versions describe "$version" --package=versions/own-notes --format=json)" \
    'has("annotations") | not'
  says NOT_FOUND within changes packages update none --annotations=a=b
  may_not artifactregistry.packages.update as reader within images packages update app --annotations=a=b
}

lists_package_tags() {
  local expected
  expected="TAG VERSION
1.0 $(digest_of layout11)
moving $(digest_of layout11)
2.0 $(digest_of layout12)
latest $(digest_of layout12)"
  same_table "$(within images tags list --package=app)" "$expected"
  same_table "$(within images tags list --package=app --page-size=2)" "$expected"
  same_table "$(within images tags list --package=team/web/back)" "TAG VERSION
1 $(digest_of layout14)"
  # gcloud has the registry look for these.
  equal "$(within images tags list --package=app --format='value(name.basename())' \
    --filter="version=\"$base/images/packages/app/versions/$(digest_of layout12)\"" | sort)" "2.0
latest"
}
tag_comes_and_goes() {
  local image=$changes/tags/own package=$base/changes/packages/tags%2Fown said
  # Of these two commands gcloud 528 takes no slash in a package.
  local tag_package=tags%2Fown
  prints "Created tag [new]." tag create new --version="$(digest_of layout10)"
  is "$image:new" layout10
  says ALREADY_EXISTS tag create new --version="$(digest_of layout11)"
  says NOT_FOUND tag create other --version="$(digest_of layout16)"
  said=$(tag update new --version="$(digest_of layout11)")
  has "name: $package/tags/new" <<<"$said"
  has "version: $package/versions/$(digest_of layout11)" <<<"$said"
  is "$image:new" layout11
  says NOT_FOUND tag update none --version="$(digest_of layout11)"
  tag_package=tags/own
  prints "Deleted tag [new]." tag delete new
  gone "$image:new"
  says NOT_FOUND tag delete new
}
tag() { within changes tags "$@" --package="$tag_package"; }

# --- what is refused

refusal_checks() {
  beside "a repository that is not there" no_repository
  beside "an image that is not there" no_image
  beside "a tag that is not there" no_tag
  beside "immutable tags stay" immutable_tags_stay
  beside "a reader lists and describes" reader_reads
  beside "a reader deletes nothing" reader_deletes_nothing
  beside "a reader changes no tag" reader_changes_no_tag
  beside "without a role" without_a_role
}
no_repository() {
  says NOT_FOUND list "$host/$project/none"
  says NOT_FOUND tags list "$host/$project/none/app"
  says NOT_FOUND within none packages list
}
no_image() {
  says NOT_FOUND delete "$images/none"
  says NOT_FOUND within images versions list --package=none
  says NOT_FOUND delete "$images/app@$(digest_of layout16)"
}
no_tag() {
  says NOT_FOUND tags add "$images/app:none" "$images/app:new"
  says NOT_FOUND tags add "$images/app@$(digest_of layout16)" "$images/app:new"
  says NOT_FOUND tags delete "$images/app:none"
  says NOT_FOUND delete "$images/app:none"
  gone "$images/app:new"
}

immutable="The repository has enabled tag immutability"
immutable_tags_stay() {
  gcloud artifacts repositories update locked --location=us-west1 --immutable-tags
  says "$immutable" tags add "$locked/app:1" "$locked/app:2"
  says "$immutable" tags delete "$locked/app:2"
  says "$immutable" delete "$locked/app:2"
  says "$immutable" delete "$locked/app"
  says FAILED_PRECONDITION within locked versions delete "$(digest_of layout11)" --package=app
  says "$immutable" within locked versions delete "$(digest_of layout11)" --package=app --delete-tags
  says "$immutable" within locked tags update 2 --version="$(digest_of layout10)" --package=app
  is "$locked/app:1" layout10
  is "$locked/app:2" layout11
  # A new one is no change.
  tags add "$locked/app:1" "$locked/app:new"
  is "$locked/app:new" layout10
}

reader_reads() {
  same_table "$(as reader list "$images/team/web/front")" "$(rows team/web/front)"
  equal "$(as reader list "$images" --format='value(version)' | wc -l)" 9
  as reader described "$images/app:1.0" "$images/app" layout11
}
# may_not PERMISSION COMMAND…: PERMISSION_DENIED, and which one.
may_not() {
  local said
  said=$(says PERMISSION_DENIED "${@:2}")
  has "$1" <<<"$said"
}
reader_deletes_nothing() {
  may_not artifactregistry.packages.delete as reader delete "$images/app"
  may_not artifactregistry.versions.delete as reader delete "$images/app@$(digest_of layout10)"
  may_not artifactregistry.tags.delete as reader delete "$images/team-two/app:1"
  may_not artifactregistry.repositories.delete as reader \
    gcloud artifacts repositories delete images --location=us-west1
  is "$images/app@$(digest_of layout10)" layout10
  is "$images/team-two/app:1" layout15
}
reader_changes_no_tag() {
  may_not artifactregistry.tags.create as reader tags add "$images/app:1.0" "$images/app:new"
  may_not artifactregistry.tags.delete as reader tags add "$images/app:1.0" "$images/app:2.0"
  may_not artifactregistry.tags.update as reader \
    within images tags update 2.0 --version="$(digest_of layout11)" --package=app
  is "$images/app:2.0" layout12
}
without_a_role() {
  may_not artifactregistry.repositories.get as nobody list "$images"
  may_not artifactregistry.packages.list as nobody within images packages list
}
