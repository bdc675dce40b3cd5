# shellcheck shell=bash
# An upstream that lies, stalls, dies, redirects and limits, as docker, crictl and crane see it through a remote repository.
# Sourced by clients/modes/run.

# faulty_image CLIENT FAULT: prints the name of the image with this fault, in a repository from which nobody else pulls: all
# faults are of the same blobs.
faulty_image() { echo "$registry_host/$project/$1-$2/$2/app:1"; }

fault_checks() {
  check "a registry that fails in many ways is started" start_faulty_registry
  check "docker, crictl and crane do not pull a layer with other bytes" lies_are_not_pulled
  check "docker, crictl and crane pull it when the upstream is honest" truth_is_pulled
  check "a pull goes on when the upstream stalls" fault_is_survived stalls /v2/stalls/app/blobs/ 200
  check "a pull goes on when the upstream dies in the middle of each blob" fault_is_survived dies /v2/dies/app/blobs/ 206
  check "a pull follows redirects, without the password" fault_is_survived redirects /stored/ 200
  check "a limit of the upstream is named, and what is cached is pulled" limit_is_named
}

start_faulty_registry() {
  local secret=projects/$project/secrets/faulty origin=https://faulty.example.com:5010 name
  echo "127.0.0.4 faulty.example.com" >>/etc/hosts
  certificate_of faulty faulty.example.com
  # A layer that is sent while it comes.
  random_tar layer-faulty.tar 1000000
  image_tar faulty.tar example/faulty:1 layer-faulty.tar
  skopeo copy --quiet docker-archive:faulty.tar oci:layout:1
  jq -er '.manifests[0].digest' layout/index.json >faulty.digest
  jq -er .config.digest "layout/blobs/$(digest_of faulty | tr : /)" >faulty.id
  python3 "$here/faulty_registry.py" 127.0.0.4 5010 faulty layout robot:pass >faulty.log 2>&1 &
  stop_at_exit $!
  wait_for 10 curl --silent "$origin/v2/"
  berth secrets add "$secret" --origin "$origin" <<<pass
  for name in {docker,crictl,crane}-{lies,stalls,dies,redirects,limits}; do
    create_repository "$name" us-west1 "$(jq -n --arg uri "$origin" --arg secret "$secret/versions/1" \
      '{mode: "REMOTE_REPOSITORY", remoteRepositoryConfig: {commonRepository: {$uri}, upstreamCredentials:
        {usernamePasswordCredentials: {username: "robot", passwordSecretVersion: $secret}}}}')"
  done
}
lies_are_not_pulled() {
  expect_failure docker pull "$(faulty_image docker lies)"
  expect_failure crictl pull --creds "$(by_token)" "$(faulty_image crictl lies)"
  expect_failure crane validate --remote "$(faulty_image crane lies)"
}
truth_is_pulled() {
  touch honest
  fault_is_survived lies
}
# fault_is_survived FAULT [REQUEST STATUS]: each client pulls the image while the upstream has the fault. The upstream gave
# this status to such requests for the two blobs of each client's image.
fault_is_survived() {
  local image
  image=$(faulty_image docker "$1")
  docker pull --quiet "$image"
  expect_equal "$(docker image inspect --format '{{.Id}}' "$image")" "$(cat faulty.id)"
  docker rmi "$image"
  crictl pull --creds "$(by_token)" "$(faulty_image crictl "$1")"
  expect_json "$(crictl images --output json)" '.images | length == 1 and .[0].id == $id' --arg id "$(cat faulty.id)"
  crictl rmi --all
  crane validate --remote "$(faulty_image crane "$1")"
  [[ $# -eq 1 ]] || expect_equal "$(grep -c "\"GET $2.* $3 -" faulty.log)" 6
}
limit_is_named() {
  local image
  image=$(faulty_image docker limits)
  expect_equal "$(status_of "${image%:1}" 1)" 429
  expect_refused toomanyrequests docker pull "$image"
  expect_json "$(api "$base/docker-limits")" '.remoteRepositoryConfig.upstreamState
      | .lastFailure.kind == "LIMITED" and (.retryAfter | fromdateiso8601) > now'
  expect_output "mode: REMOTE_REPOSITORY" gcloud artifacts repositories describe docker-limits --location=us-west1
  fault_is_survived stalls
  # The host is left alone: it was asked without the password and with it, and not again.
  expect_equal "$(grep -c limits/app/manifests faulty.log)" 2
}
