# shellcheck shell=bash
# What an operator of the registry does: a shell for gcloud, a key that is lost, an account that does not exist yet.
# Sourced by clients/login/run.

# gcloud asks the metadata server for its account before every command.
metadata_without_account() {
  expect_failure curl --silent --fail -H 'Metadata-Flavor: Google' "$metadata_url/email"
  # shellcheck disable=SC2031  # the change elsewhere is meant for that subshell alone
  export CLOUDSDK_CONFIG=$work/gcloud-none CLOUDSDK_CORE_CHECK_GCE_METADATA=true
  export GCE_METADATA_ROOT=127.0.0.1:8080 GCE_METADATA_HOST=127.0.0.1:8080 GCE_METADATA_IP=127.0.0.1:8080
  gcloud auth list 2>&1 | grep -F 'No credentialed accounts'
  gcloud config set project team-one
  grep -F 'gcloud iam service-accounts create metadata --project=team-one' server.log
}
# The command behind && would go to Google.
env_that_fails() {
  local output
  output=$(sh -c "cd / && eval \"\$('$server_bin' env)\" && echo went on" 2>/dev/null || true)
  [[ -z $output ]]
}
own_configuration() {
  unset CLOUDSDK_CONFIG
  eval "$(berth env --url "https://$registry_host" --ca ca.pem)"
  gcloud auth activate-service-account --key-file=berth-data/owner-key.json
  gcloud projects list --format='value(projectId)' | grep -x berth-admin
  test -s "$HOME/.config/berth/gcloud/$registry_host/credentials.db"
  expect_failure test -e "$HOME/.config/gcloud/credentials.db"
}
# A key file that was made before the registry had its name. Nothing answers at the address in it.
older_key() {
  jq '.token_uri = "https://127.0.0.1:1/token"' berth-data/owner-key.json >older.json
  CLOUDSDK_CONFIG=$work/gcloud-older gcloud auth activate-service-account --key-file=older.json
  CLOUDSDK_CONFIG=$work/gcloud-older gcloud projects list --format='value(projectId)' | grep -x berth-admin
}
lost_owner_key() {
  mv berth-data/owner-key.json owner-key.lost
  run_page "A key that is lost"
  CLOUDSDK_CONFIG=$work/gcloud-found gcloud auth activate-service-account --key-file=berth-data/owner-key.json
  [[ $(jq -r .private_key_id berth-data/owner-key.json) != $(jq -r .private_key_id owner-key.lost) ]]
  gcloud iam service-accounts keys delete "$(jq -r .private_key_id owner-key.lost)" --iam-account="$owner"
}
