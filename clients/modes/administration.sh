# shellcheck shell=bash
# Who may read what, upstreams that cannot answer, and explanations. Sourced by clients/modes/run.

administration_checks() {
  check "a reader of the virtual repository alone pulls through it, and not from an upstream" reader_pulls_through
  check "a reader's explanation names no upstream that the reader may not read" reader_explains
  check "an explanation flags the upstream whose adder may not read it any more" adder_lost_access
  check "a rule of an upstream denies pulls through the virtual repository" rule_of_upstream
  check "a stopped upstream ends pulls, lists and gcloud's commands, and is named" stopped_upstream
  check "an upstream stays stopped when its policy is taken out and put back" stop_stays
  check "FALL_THROUGH lets the next upstream answer, until the first is resumed" falls_through
  check "a deleted upstream ends pulls, and is named" deleted_upstream
  check "berth explain marks the upstream of each tag, and fails where none has the image" berth_explains
}
# grant REPOSITORY ROLE ACCOUNT… sets the whole policy of the repository: the accounts have the role, and no others.
grant() {
  api "$base/$1:setIamPolicy" --data "$(jq -n --arg role "roles/artifactregistry.$2" \
    '{policy: {bindings: [{$role, members: $ARGS.positional}]}}' --args \
    "${@:3}")"
}
member() { echo "serviceAccount:$(email_of "$1-account")"; }
# crane_as ACCOUNT ARGUMENT…: crane, with the account's token.
crane_as() {
  local DOCKER_CONFIG=$work/docker-$1
  export DOCKER_CONFIG
  [[ -d $DOCKER_CONFIG ]] ||
    crane auth login "$registry_host" --username oauth2accesstoken --password-stdin <"$1-token"
  crane "${@:2}"
}
reader_pulls_through() {
  gcloud artifacts repositories add-iam-policy-binding all --location=us-west1 --member="$(member reader)" \
    --role=roles/artifactregistry.reader
  local tag
  for tag in 1.0 2.0; do
    expect_equal "$(crane_as reader digest "$all/web:$tag")" "$(digest_of "${server_of[$tag]}")"
    crane_as reader pull "$all/web:$tag" pulled.tar
    expect_refused artifactregistry.repositories.downloadArtifacts \
      crane_as reader pull "$registry_host/$project/${server_of[$tag]}/web:$tag" pulled.tar
  done
  expect_equal "$(crane_as reader ls "$all/web" | wc -l)" 4
  # The permission is missing, so that the answer does not say which mode the repository has.
  expect_refused artifactregistry.repositories.uploadArtifacts crane_as reader push main-repo.tar "$all/web:1.0"
}
# explain REPOSITORY IMAGE [ACCOUNT]: the explanation that the account gets, or the owner.
explain() {
  curl --silent --show-error --fail -H "Authorization: Bearer $(cat "${3:-owner}-token")" \
    "https://$registry_host/v1/$base/$1:explain?image=$2"
}
reader_explains() {
  expect_json "$(explain all web:1.0 reader)" '.answeringUpstream == "secondary1"
      and (.upstreams | length == 4 and all(has("repository") | not))'
  grant secondary-repo1 reader "$(member reader)"
  expect_json "$(explain all web:1.0 reader)" '.upstreams | map(.repository) == [null, $repository, null, null]' \
    --arg repository "$base/secondary-repo1"
}
adder_lost_access() {
  create_repository shown us-west1 '{"mode": "VIRTUAL_REPOSITORY"}'
  grant shown admin "$(member adder)"
  policy_file high high 1 low low 2 >shown.json
  update_shown() {
    as_account adder repositories update shown --upstream-policy-file=shown.json
  }
  expect_refused artifactregistry.repositories.downloadArtifacts update_shown
  grant high reader "$(member adder)"
  grant low reader "$(member adder)"
  update_shown
  grant low reader
  expect_json "$(explain shown signed:1)" '.upstreams | map([.id, .adderLostAccess // false]) ==
      [["low", true], ["high", false]]'
  expect_output "$base/low  has it: $(digest_of main-repo) (whoever added it may not read it any more)" \
    berth explain "$registry_host/$project/shown/signed:1"
}
rule_of_upstream() {
  crane push test-repo.tar "$low/ruled:1"
  crane digest "$pair/ruled:1"
  api "$base/low/rules?ruleId=no-pulls" --data '{"action": "DENY", "operation": "DOWNLOAD", "packageId": "ruled"}'
  expect_refused DENIED crane manifest "$pair/ruled:1"
  expect_refused "has it, and one of its rules denies the download" berth explain "$pair/ruled:1"
}
# set_reading stop|resume: stops the virtual repository from reading `high`, or lets it read again.
set_reading() { api "$base/high:$1VirtualReader" --data "{\"reader\": \"$base/pair\"}"; }
stopped="the upstream \"high\" of $base/pair cannot answer: the administrators of its repository have stopped it"
stopped_upstream() {
  crane push test-repo.tar "$low/app:1"
  expect_served "$pair/app:1" test-repo
  set_reading stop
  expect_equal "$(status_of "$pair/app" 1)" 502
  expect_refused "$stopped" timeout 30 "$(crane_path)" pull "$pair/app:1" pulled.tar
  # These show the status of a 5xx alone.
  expect_refused "502 Bad Gateway" timeout 30 docker pull "$pair/app:1"
  expect_refused "502 Bad Gateway" crictl pull --creds "$(by_token)" "$pair/app:1"
  expect_refused "$stopped" timeout 60 gcloud artifacts docker images list "$pair"
  expect_refused "cannot answer: the administrators of its repository have stopped it" berth explain "$pair/app:1"
  set_reading resume
  expect_served "$pair/app:1" test-repo
  crane pull "$pair/app:1" pulled.tar
}
stop_stays() {
  set_policies() {
    api "$base/pair?updateMask=virtualRepositoryConfig" -X PATCH \
      --data "$(policy_file "$@" | jq '{virtualRepositoryConfig: {upstreamPolicies: .}}')"
  }
  set_reading stop
  set_policies low low 1
  set_policies high high 2 low low 1
  expect_equal "$(status_of "$pair/app" 1)" 502
  set_reading resume
  expect_equal "$(status_of "$pair/app" 1)" 200
}
falls_through() {
  crane push main-repo.tar "$high/app:1"
  expect_served "$pair/app:1" main-repo
  api "$base/pair?updateMask=virtualRepositoryConfig.failurePolicy" -X PATCH \
    --data '{"virtualRepositoryConfig": {"failurePolicy": "FALL_THROUGH"}}'
  set_reading stop
  expect_served "$pair/app:1" test-repo
  expect_output "->      1  \"low\"  $base/low  has it: $(digest_of test-repo)" berth explain "$pair/app:1"
  set_reading resume
  expect_served "$pair/app:1" main-repo
  api "$base/pair?updateMask=virtualRepositoryConfig.failurePolicy" -X PATCH \
    --data '{"virtualRepositoryConfig": {"failurePolicy": "FAIL_CLOSED"}}'
}
deleted_upstream() {
  api "$base/high" -X DELETE
  expect_refused "the upstream \"high\" of $base/pair cannot answer: its repository was deleted" \
    timeout 30 "$(crane_path)" pull "$pair/app:1" pulled.tar
  api "$base/pair" -X PATCH --data "$(policy_file low low 1 | jq '{virtualRepositoryConfig: {upstreamPolicies: .}}')"
  expect_served "$pair/app:1" test-repo
}
# expect_arrow UPSTREAM IMAGE: the line of the upstream has an arrow, and no other line has one.
expect_arrow() {
  local output
  output=$(berth explain "$2")
  echo "$output"
  expect_equal "$(grep -c '^->' <<<"$output")" 1
  grep '^->' <<<"$output" | expect_text "  $base/$1  has it: $(digest_of "$1")  "
  expect_equal "$(wc -l <<<"$output")" 4
}
berth_explains() {
  local tag
  for tag in "${!server_of[@]}"; do expect_arrow "${server_of[$tag]}" "$all/web:$tag"; done
  expect_arrow test-repo "$all/web@$(digest_of test-repo)"
  expect_arrow main-repo "$project/all/web:2.0"
  expect_refused "No upstream has the image." berth explain "$all/web:9.9"
  expect_refused "a pin names another upstream for this image" berth explain "$all/corp/app:1.0"
  expect_refused "is a standard repository: it has no upstreams to choose from" \
    berth explain "$registry_host/$project/main-repo/web:2.0"
}
