# shellcheck shell=bash
# Rules of repositories. Sourced by clients/gcloud/run. gcloud 528 makes rules about downloads only; rules
# about tags are made by the API.

rule_checks() {
  check_parallel "rules create, list, describe, update and delete" rules_come_and_go
  check_parallel "a rule denies pulls" rules_deny_downloads
  check_parallel "a rule lets tags move where tags are immutable" rules_let_tags_move
}
rules() { gcloud artifacts rules "$@" --repository="$ruled" --location=us-west1; }

rules_come_and_go() {
  local ruled=ruled output name=$base/ruled/rules
  create_repository ruled us-west1
  expect_output "Created rule [no-old]." rules create no-old --action=DENY --package=team/web --condition="pkg.version.id < '2.0'"
  rules create everything --action=ALLOW --operation=DOWNLOAD
  output=$(rules list 2>rules.err)
  expect_text "Listing items under project $project, location us-west1, repository ruled." <rules.err
  expect_equal "$(tr -s ' ' <<<"$output" | sed 's/ $//')" "RULE PACKAGE ACTION OPERATION CONDITION
everything ALLOW DOWNLOAD
no-old team/web DENY DOWNLOAD pkg.version.id < '2.0'"
  expect_equal "$(rules list --page-size=1 --format='value(name.basename())')" "everything
no-old"
  expect_json "$(rules describe no-old --format=json)" '. == {name: $name, action: "DENY", operation: "DOWNLOAD",
      packageId: "team/web", condition: {expression: "pkg.version.id < \u00272.0\u0027"}}' --arg name "$name/no-old"
  expect_refused ALREADY_EXISTS rules create no-old --action=DENY
  expect_refused ALREADY_EXISTS rules create again --action=DENY --package=team/web
  expect_refused condition.expression rules create odd --action=DENY --package=odd --condition="pkg.id.matches('.*')"
  rules update no-old --action=ALLOW
  rules update no-old --condition="pkg.tag.id == 'v1'" --package=team/api
  expect_json "$(rules describe no-old --format=json)" '.action == "ALLOW" and .packageId == "team/api"
      and .condition.expression == "pkg.tag.id == \u0027v1\u0027"'
  expect_denied artifactregistry.rules.list as_account nobody rules list
  expect_output "Deleted rule [no-old]." rules delete no-old
  expect_refused NOT_FOUND rules describe no-old
  expect_refused NOT_FOUND rules delete no-old
}
rules_deny_downloads() {
  local ruled=denied image=$registry_host/$project/denied/app output
  create_repository denied us-west1
  crane push layout10 "$image:good"
  crane push layout11 "$image:bad"
  rules create no-bad --action=DENY --condition="pkg.tag.id == 'bad'"
  output=$(expect_failure crane manifest "$image:bad" 2>&1)
  expect_text DENIED <<<"$output"
  expect_failure crane pull "$image@$(digest_of layout11)" pulled.tar
  expect_image "$image:good" layout10
  # The denied version is still listed, and can be deleted.
  expect_equal "$(list "$image" --format='value(version)' | wc -l)" 2
  rules update no-bad --action=ALLOW
  expect_image "$image:bad" layout11
}
rules_let_tags_move() {
  local ruled=excepted image=$registry_host/$project/excepted/app
  create_repository excepted us-west1 '{"dockerConfig": {"immutableTags": true}}'
  crane push layout10 "$image:v1"
  crane tag "$image:v1" dev
  api "$base/excepted/rules?ruleId=dev" --data \
    '{"action": "ALLOW", "operation": "TAG_MUTATION", "condition": {"expression": "pkg.tag.id == \u0027dev\u0027"}}'
  expect_equal "$(rules list --format='value(name.basename(),operation)')" "$(printf 'dev\tTAG_MUTATION')"
  crane push layout11 "$image:dev"
  expect_image "$image:dev" layout11
  expect_refused "$immutable" tags add "$image:dev" "$image:v1"
  expect_output "Added tag" tags add "$image:v1" "$image:dev"
  expect_image "$image:dev" layout10
  rules delete dev
  expect_refused "$immutable" tags delete "$image:dev"
}
