# shellcheck shell=bash
# `gcloud artifacts` on virtual repositories. Sourced by clients/modes/run.

gcloud_checks() {
  # The longest check comes first.
  check_parallel "gcloud creates, describes, updates and deletes a virtual repository" virtual_comes_and_goes
  check_parallel "gcloud docker images list of a virtual repository" lists_images
  check_parallel "gcloud docker images list of an image" lists_versions_of_image
  check_parallel "gcloud docker images describe" describes_images
  check_parallel "gcloud docker tags list" lists_docker_tags
  check_parallel "gcloud packages list and versions list" lists_packages_and_versions
  check_parallel "gcloud tags list" lists_package_tags
  check_parallel "gcloud changes nothing in a virtual repository" changes_nothing
  check_parallel "gcloud lists of a repository leave out what a pin leaves to another upstream" lists_with_pins
  check_parallel "gcloud prints why policies are refused" bad_policies
  check_parallel "gcloud prints why policies on other repositories are refused" policies_on_bad_repositories
}
repositories() { gcloud artifacts repositories "$@" --location=us-west1; }
# policies ID REPOSITORY PRIORITY …: prints a file of policies.
policies() {
  local first=$1
  shift
  jq -n --arg id "$first" --arg repository "$base/$1" --argjson priority "$2" '{$id, $repository, $priority}'
  shift 2
  [[ $# -eq 0 ]] || policies "$@"
}
policy_file() { policies "$@" | jq -s .; }
create_virtual() {
  repositories create "$1" --repository-format=docker --mode=virtual-repository --upstream-policy-file="$2"
}

virtual_comes_and_goes() {
  local output
  policy_file one test-repo 5 other main-repo 9 >before.json
  policy_file one test-repo 7 more secondary-repo1 6 >after.json
  create_virtual passing before.json
  output=$(repositories describe passing --format=json)
  expect_json "$output" '.mode == "VIRTUAL_REPOSITORY" and .virtualRepositoryConfig.upstreamPolicies == $policies[0]' \
    --slurpfile policies before.json
  expect_served "$registry_host/$project/passing/web:2.0" main-repo
  api "$base/passing?updateMask=virtualRepositoryConfig.failurePolicy,virtualRepositoryConfig.pins" -X PATCH \
    --data '{"virtualRepositoryConfig":
      {"failurePolicy": "FALL_THROUGH", "pins": [{"imagePrefix": "a/", "upstreamId": "one"}]}}'
  output=$(repositories update passing --upstream-policy-file=after.json --format=json)
  expect_json "$output" '.virtualRepositoryConfig.upstreamPolicies == $policies[0]' --slurpfile policies after.json
  expect_json "$(api "$base/passing")" '.virtualRepositoryConfig == {upstreamPolicies: $policies[0],
      failurePolicy: "FALL_THROUGH", pins: [{imagePrefix: "a/", upstreamId: "one"}]}' --slurpfile policies after.json
  expect_served "$registry_host/$project/passing/web:2.0" test-repo
  # A change of other fields leaves the policies.
  repositories update passing --description="In some words"
  expect_json "$(api "$base/passing")" '.description == "In some words"
      and .virtualRepositoryConfig.upstreamPolicies == $policies[0]' --slurpfile policies after.json
  repositories delete passing
  expect_refused NOT_FOUND repositories describe passing
  expect_served "$registry_host/$project/test-repo/web:2.0" test-repo
}

# Rows of `web` are TAG IMAGE DIGEST, and the image is the virtual repository's.
tag_rows() {
  local tag
  for tag in "${!server_of[@]}"; do echo "$tag $all/web $(digest_of "${server_of[$tag]}")"; done | sort
}
# expect_web_images JSON: the list has the image of each upstream once, with the tags that the upstream serves.
expect_web_images() {
  local rows='.[] | .package as $image | .version as $digest | .tags[] | "\(.) \($image) \($digest)"'
  expect_equal "$(jq -r "$rows" <<<"$1" | sort)" "$(tag_rows)"
  expect_json "$1" 'length == 4'
}
list() { gcloud artifacts docker images list "$@"; }
lists_images() { expect_web_images "$(list "$all" --include-tags --format=json)"; }
lists_versions_of_image() {
  local output
  expect_web_images "$(list "$all/web" --include-tags --format=json)"
  output=$(list "$all/web" --page-size=2 --format='value(package,version)')
  expect_equal "$(sort <<<"$output" | tr '\t' ' ')" "$(tag_rows | cut -d ' ' -f 2- | sort)"
}
describes_images() {
  local output tag
  for tag in 1.0 2.0; do
    output=$(gcloud artifacts docker images describe "$all/web:$tag" --format=json)
    expect_json "$output" '.image_summary | .digest == $digest and .fully_qualified_digest == "\($all)/web@\($digest)"
        and .repository == "all"' --arg digest "$(digest_of "${server_of[$tag]}")" --arg all "$all"
  done
}
# docker_tags NAME [FLAG…]: prints the rows of the list, without the header that each page has.
docker_tags() { gcloud artifacts docker tags list "$@" | grep -v -e '^TAG ' -e '^$' | tr -s ' ' | sort; }
lists_docker_tags() {
  expect_equal "$(docker_tags "$all")" "$(tag_rows)"
  expect_equal "$(docker_tags "$all/web" --page-size=1)" "$(tag_rows)"
}
in_all() { gcloud artifacts "$@" --repository=all --location=us-west1; }
lists_packages_and_versions() {
  expect_equal "$(in_all packages list --format='value(name)')" web
  expect_equal "$(in_all versions list --package=web --format='value(name)' | sort)" \
    "$(for name in "${upstreams[@]}"; do digest_of "$name"; done | sort)"
}
lists_package_tags() {
  local output
  output=$(in_all tags list --package=web --format='value(name.basename(),version.basename())')
  expect_equal "$(tr '\t' ' ' <<<"$output" | sort)" "$(tag_rows | cut -d ' ' -f 1,3)"
}
# `corp/app` is in both upstreams, and `corp/only` in the one that its pin does not name.
lists_with_pins() {
  local pinned=$registry_host/$project/pinned digest output
  create_repository pinned-high us-west1
  create_repository pinned-low us-west1
  crane push main-repo.tar "$registry_host/$project/pinned-high/corp/app:1"
  crane push main-repo.tar "$registry_host/$project/pinned-high/corp/only:1"
  crane push test-repo.tar "$registry_host/$project/pinned-low/corp/app:1"
  create_repository pinned us-west1 "$(policy_file high pinned-high 2 low pinned-low 1 | jq '{mode: "VIRTUAL_REPOSITORY",
      virtualRepositoryConfig: {upstreamPolicies: ., pins: [{imagePrefix: "corp/", upstreamId: "low"}]}}')"
  digest=$(digest_of test-repo)
  expect_served "$pinned/corp/app:1" test-repo
  output=$(list "$pinned" --include-tags --format=json)
  expect_json "$output" 'map([.package, .version, .tags]) == [["\($image)/corp/app", $digest, ["1"]]]' \
    --arg image "$pinned" --arg digest "$digest"
  expect_equal "$(gcloud artifacts packages list --repository=pinned --location=us-west1 --format='value(name)')" corp/app
  expect_equal "$(docker_tags "$pinned")" "1 $pinned/corp/app $digest"
}
changes_nothing() {
  expect_refused "$no_pushes" gcloud artifacts docker tags add "$all/web:1.0" "$all/web:new"
  expect_refused "$no_pushes" gcloud artifacts docker tags delete "$all/web:1.0"
  expect_refused "$no_pushes" gcloud artifacts docker images delete "$all/web" --delete-tags
  expect_refused "$no_pushes" in_all versions delete "$(digest_of main-repo)" --package=web --delete-tags
  expect_served "$all/web:1.0" secondary-repo1
}

bad_policies() {
  local arguments=() number
  policy_file same main-repo 1 same test-repo 2 >twice.json
  expect_refused 'the id "same" stands twice' create_virtual refused twice.json
  for number in $(seq 31); do arguments+=("id$number" main-repo "$number"); done
  policy_file "${arguments[@]}" >many.json
  expect_refused "there are 31, and at most 30" create_virtual refused many.json
  expect_refused "there are 31, and at most 30" repositories update all --upstream-policy-file=many.json
  expect_refused NOT_FOUND repositories describe refused
}
policies_on_bad_repositories() {
  create_repository far europe-west1
  policy_file far far 1 | sed 's/us-west1/europe-west1/' >far.json
  policy_file absent none 1 >absent.json
  policy_file main all 1 >of-virtual.json
  policy_file other main-repo 1 >without-main.json
  expect_refused "locations/europe-west1/repositories/far is in another location: it has to be in us-west1" \
    create_virtual refused far.json
  expect_refused "$base/none does not exist" create_virtual refused absent.json
  expect_refused "$base/all is a virtual one: an upstream is a standard or a remote repository" \
    create_virtual refused of-virtual.json
  expect_refused "$base/all is this repository itself" repositories update all --upstream-policy-file=of-virtual.json
  expect_refused 'the upstream_id "main" is the id of no policy' \
    repositories update all --upstream-policy-file=without-main.json
  expect_served "$all/web:1.0" secondary-repo1
}
