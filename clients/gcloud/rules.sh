# shellcheck shell=bash
# Rules of repositories. Sourced by clients/gcloud. gcloud 528 makes rules about downloads only; those about tags are made
# by the API.

rule_checks() {
  beside "rules create, list, describe, update and delete" rules_come_and_go
  beside "rules keep images from being pulled" rules_deny_downloads
  beside "rules let some tags move that would stay" rules_let_tags_move
}
rules() { gcloud artifacts rules "$@" --repository="$ruled" --location=us-west1; }

rules_come_and_go() {
  local ruled=ruled said name=$base/ruled/rules
  a_repository ruled us-west1
  prints "Created rule [no-old]." rules create no-old --action=DENY --package=team/web --condition="pkg.version.id < '2.0'"
  rules create everything --action=ALLOW --operation=DOWNLOAD
  said=$(rules list 2>said-rules)
  has "Listing items under project $project, location us-west1, repository ruled." <said-rules
  equal "$(tr -s ' ' <<<"$said" | sed 's/ $//')" "RULE PACKAGE ACTION OPERATION CONDITION
everything ALLOW DOWNLOAD
no-old team/web DENY DOWNLOAD pkg.version.id < '2.0'"
  equal "$(rules list --page-size=1 --format='value(name.basename())')" "everything
no-old"
  matches "$(rules describe no-old --format=json)" '. == {name: $name, action: "DENY", operation: "DOWNLOAD",
      packageId: "team/web", condition: {expression: "pkg.version.id < \u00272.0\u0027"}}' --arg name "$name/no-old"
  says ALREADY_EXISTS rules create no-old --action=DENY
  says ALREADY_EXISTS rules create again --action=DENY --package=team/web
  says condition.expression rules create odd --action=DENY --package=odd --condition="pkg.id.matches('.*')"
  rules update no-old --action=ALLOW
  rules update no-old --condition="pkg.tag.id == 'v1'" --package=team/api
  matches "$(rules describe no-old --format=json)" '.action == "ALLOW" and .packageId == "team/api"
      and .condition.expression == "pkg.tag.id == \u0027v1\u0027"'
  may_not artifactregistry.rules.list as nobody rules list
  prints "Deleted rule [no-old]." rules delete no-old
  says NOT_FOUND rules describe no-old
  says NOT_FOUND rules delete no-old
}
rules_deny_downloads() {
  local ruled=denied image=$host/$project/denied/app said
  a_repository denied us-west1
  crane push layout10 "$image:good"
  crane push layout11 "$image:bad"
  rules create no-bad --action=DENY --condition="pkg.tag.id == 'bad'"
  said=$(refused crane manifest "$image:bad" 2>&1)
  has DENIED <<<"$said"
  refused crane pull "$image@$(digest_of layout11)" pulled.tar
  is "$image:good" layout10
  # It is still there to be seen and deleted.
  equal "$(list "$image" --format='value(version)' | wc -l)" 2
  rules update no-bad --action=ALLOW
  is "$image:bad" layout11
}
rules_let_tags_move() {
  local ruled=excepted image=$host/$project/excepted/app
  a_repository excepted us-west1 '{"dockerConfig": {"immutableTags": true}}'
  crane push layout10 "$image:v1"
  crane tag "$image:v1" dev
  api "$base/excepted/rules?ruleId=dev" --data \
    '{"action": "ALLOW", "operation": "TAG_MUTATION", "condition": {"expression": "pkg.tag.id == \u0027dev\u0027"}}'
  equal "$(rules list --format='value(name.basename(),operation)')" "$(printf 'dev\tTAG_MUTATION')"
  crane push layout11 "$image:dev"
  is "$image:dev" layout11
  says "$immutable" tags add "$image:dev" "$image:v1"
  prints "Added tag" tags add "$image:v1" "$image:dev"
  is "$image:dev" layout10
  rules delete dev
  says "$immutable" tags delete "$image:dev"
}
