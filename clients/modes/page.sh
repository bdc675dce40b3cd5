# shellcheck shell=bash
# docs/repositories.md, from top to bottom. Sourced by clients/modes/run.

page=docs/repositories.md
# The sentence of the page that refuses a push.
no_pushes=$(block_of "$page" Pushes text)

page_checks() {
  check "the page: standard repositories are created" page_creates_standard
  check "images are pushed to the upstreams" images_are_pushed
  check "the page: a virtual repository is created and described" page_creates_virtual
  check "the page: docker pulls from the virtual repository" page_pulls
  check "the page: the policies are replaced" page_updates
  check "the page: an upstream's administrators see, stop and resume who reads it" page_stops_reader
  check "the page: the failure policy is set" page_sets_failure_policy
  check "the page: a pin is set" page_pins
  check "the page: both explanations name the upstream that answers" page_explains
}
expect_whole_page_in_order() { diff <(commands_in "$page" | cut -f 2-) ran; }
# run_request HEADING TEXT: runs a command of the page that needs API and TOKEN.
run_request() {
  local API TOKEN
  # shellcheck disable=SC2034  # the command uses it
  API=https://$registry_host TOKEN=$(cat owner-token)
  run_page "$@"
}

page_creates_standard() {
  run_page Standard
  expect_json "$(api "$base")" '.repositories | length == 4 and all(.mode == "STANDARD_REPOSITORY")'
}
page_creates_virtual() {
  local output
  block_of "$page" Virtual json >upstreams.json
  run_page Virtual "repositories create"
  output=$(run_page Virtual describe)
  expect_text "mode: VIRTUAL_REPOSITORY" <<<"$output"
  expect_text "repository: $base/secondary-repo2" <<<"$output"
}
page_pulls() {
  run_page Virtual "docker pull"
  expect_equal "$(docker image inspect --format '{{.Id}}' "$all/web:1.0")" "$(cat secondary-repo1.id)"
}
page_updates() {
  run_page Virtual "repositories update"
  expect_json "$(api "$base/all")" '.virtualRepositoryConfig == {upstreamPolicies: $policies[0]}' \
    --slurpfile policies upstreams.json
}
page_stops_reader() {
  local readers
  readers=$(run_request "Who may do what" listVirtualReaders)
  expect_json "$readers" '.readers | length == 1 and .[0].repository == $all and (.[0] | has("stopTime") | not)' \
    --arg all "$base/all"
  run_request "Who may do what" stopVirtualReader
  expect_equal "$(status_of "$all/web" 4.0)" 502
  expect_equal "$(status_of "$all/web" 3.0)" 200
  run_request "Who may do what" resumeVirtualReader
  expect_served "$all/web:4.0" test-repo
}
page_sets_failure_policy() {
  expect_json "$(run_request "An upstream that cannot answer" FALL_THROUGH)" \
    '.virtualRepositoryConfig | .failurePolicy == "FALL_THROUGH" and (.upstreamPolicies | length == 4)'
}
page_pins() {
  expect_served "$all/corp/app:1.0" test-repo
  expect_json "$(run_request "An upstream that cannot answer" pins)" '.virtualRepositoryConfig
      | .failurePolicy == "FALL_THROUGH" and .pins == [{imagePrefix: "corp/", upstreamId: "main"}]'
  expect_equal "$(status_of "$all/corp/app" 1.0)" 404
  expect_served "$all/web:4.0" test-repo
  api "$base/test-repo/packages/corp%2Fapp" -X DELETE
}
# explanation_shape: replaces what differs from one explanation to the next, and the width of columns.
explanation_shape() {
  sed -e 's|/locations/us-west1/repositories/|/…/|' -e 's/sha256:[0-9a-f…]*/DIGEST/' -e 's/([0-9]* µs)/TIME/' |
    tr -s ' '
}
page_explains() {
  local output
  output=$(run_page "Which upstream was it?" "berth explain")
  echo "$output"
  expect_text "$(digest_of secondary-repo1)" <<<"$output"
  diff <(block_of "$page" "Which upstream was it?" text | explanation_shape) <(explanation_shape <<<"$output")
  output=$(run_request "Which upstream was it?" curl)
  expect_json "$output" '.answeringUpstream == "secondary1"
      and (.upstreams | map(.id) == ["main", "secondary1", "secondary2", "test"]
           and map(.outcome) == ["NOT_FOUND", "FOUND", "NOT_ASKED", "NOT_ASKED"])
      and .upstreams[1].digest == $digest and .upstreams[1].repository == $repository' \
    --arg digest "$(digest_of secondary-repo1)" --arg repository "$base/secondary-repo1"
}
