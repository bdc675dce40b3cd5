# shellcheck shell=bash
# Registries that are not ours as upstreams: Debian's docker-registry, for everybody and with a password, and distribution
# v3, with a password and with tokens that another host gives. Sourced by clients/modes/run.

real_upstreams=(debian debian-password v3-password v3-tokens)
declare -A port_of=([debian]=5001 [debian-password]=5002 [v3-password]=5003 [v3-tokens]=5004)
upstream_password='pass: wörd "1"'

upstream_checks() {
  local name
  check "docker-registry, distribution v3 and a token server are started" start_real_upstreams
  for name in "${real_upstreams[@]}"; do
    check "$name: images are pushed, and a remote repository is created" real_upstream_has_images "$name"
    [[ $name = debian ]] || check "$name: a wrong password is named, and a right one is used" password_is_changed "$name"
    check "$name: docker, crictl, crane, skopeo and oras pull through by tag and by digest" real_upstream_is_pulled "$name"
    check "$name: what was pulled is pulled again without the upstream" real_upstream_is_away "$name"
  done
  check "the token server was asked with the account of the repository" tokens_are_asked_for
}
origin_of() { echo "https://$1.example.com:${port_of[$1]}"; }

start_real_upstreams() {
  local password='{htpasswd: {realm: registry, path: '$work/passwords'}}' tokens
  tokens='{token: {realm: "https://auth.example.com/token", service: v3, issuer: auth, rootcertbundle: '$work/signer.pem'}}'
  echo "127.0.0.4 auth.example.com ${real_upstreams[*]/%/.example.com}" >>/etc/hosts
  htpasswd -Bbn robot "$upstream_password" >passwords
  start_token_server
  start_distribution debian docker-registry '{}'
  start_distribution debian-password docker-registry "$password"
  start_distribution v3-password "$(distribution_path)" "$password"
  start_distribution v3-tokens "$(distribution_path)" "$tokens"
}
start_token_server() {
  certificate_of auth auth.example.com
  openssl req -x509 -newkey rsa:2048 -nodes -keyout signer.key -out signer.pem -days 2 -subj /CN=signer 2>openssl.log
  python3 "$here/token_server.py" 127.0.0.4 auth signer "robot:$upstream_password" auth >token-server.log 2>&1 &
  stop_at_exit $!
  wait_for 10 curl --silent "https://auth.example.com/token"
}
# start_distribution NAME PROGRAM AUTH: starts a registry that asks for this authentication.
start_distribution() {
  certificate_of "$1" "$1.example.com"
  cat >"$1.yml" <<YML
version: 0.1
log: {accesslog: {disabled: false}}
storage: {filesystem: {rootdirectory: $work/$1}}
http: {addr: "127.0.0.4:${port_of[$1]}", tls: {certificate: $work/$1.pem, key: $work/$1.key}}
auth: $3
YML
  OTEL_TRACES_EXPORTER=none "$2" serve "$1.yml" >"$1.log" 2>&1 &
  stop_at_exit $!
  echo $! >"$1.pid"
  wait_for 10 curl --silent "$(origin_of "$1")/v2/" || { tail "$1.log"; return 1; }
}

real_upstream_has_images() {
  local origin host tag credentials=null
  origin=$(origin_of "$1") host=${origin#https://}
  if [[ $1 != debian ]]; then
    crane auth login "$host" --username robot --password-stdin <<<"$upstream_password"
    berth secrets add "projects/$project/secrets/$1" --origin "$origin" <<<wrong
    credentials=$(jq -n --arg secret "projects/$project/secrets/$1/versions/latest" \
      '{usernamePasswordCredentials: {username: "robot", passwordSecretVersion: $secret}}')
  fi
  for tag in 1 2; do
    new_image "$1-$tag"
    crane push "$1-$tag.tar" "$host/team/app:$tag"
    crane digest "$host/team/app:$tag" >"$1-$tag.digest"
  done
  crane auth logout "$host"
  create_repository "$1" us-west1 "$(jq -n --arg uri "$origin" --argjson credentials "$credentials" \
    '{mode: "REMOTE_REPOSITORY",
      remoteRepositoryConfig: {commonRepository: {$uri}, upstreamCredentials: $credentials}}')"
}
password_is_changed() {
  local image=$registry_host/$project/$1/team/app
  expect_equal "$(status_of "$image" 1)" 502
  curl --silent --user "$(by_token)" "https://$registry_host/v2/${image#*/}/manifests/1" |
    expect_text "refused the credentials: it answered 401"
  berth secrets add "projects/$project/secrets/$1" <<<"$upstream_password"
  expect_equal "$(status_of "$image" 1)" 200
}
# The second image is pulled by its digest alone.
real_upstream_is_pulled() {
  local image=$registry_host/$project/$1/team/app
  expect_served "$image:1" "$1-1"
  crane validate --remote "$image:1"
  skopeo copy --quiet --src-creds "$(by_token)" "docker://$image@$(digest_of "$1-1")" "dir:$1-copied"
  expect_equal "sha256:$(sha256sum "$1-copied/manifest.json" | cut -d ' ' -f 1)" "$(digest_of "$1-1")"
  oras manifest fetch --username oauth2accesstoken --password "$(cat owner-token)" "$image@$(digest_of "$1-2")" \
    >manifest.json
  expect_equal "sha256:$(sha256sum manifest.json | cut -d ' ' -f 1)" "$(digest_of "$1-2")"
  crane validate --remote "$image@$(digest_of "$1-2")"
  expect_equal "$(crane ls "$image")" "$(printf '1\n2')"
  crictl pull --creds "$(by_token)" "$image:1"
  crictl rmi "$image:1"
  docker pull --quiet "$image@$(digest_of "$1-2")"
  docker rmi "$image@$(digest_of "$1-2")"
}
real_upstream_is_away() {
  local image=$registry_host/$project/$1/team/app
  stop_process "$(cat "$1.pid")"
  expect_served "$image:1" "$1-1"
  crane validate --remote "$image:1"
  crane validate --remote "$image@$(digest_of "$1-2")"
  expect_equal "$(status_of "$image" 2)" 502
}
tokens_are_asked_for() {
  expect_text '"GET /token?service=v3&scope=repository%3Ateam%2Fapp%3Apull&account=robot HTTP/1.1" 200' <token-server.log
}
