# shellcheck shell=bash
# What whoever runs the registry does: a shell for gcloud, a key that is lost, an account that is still to be made. Sourced
# by clients/login.

# gcloud asks the metadata server for its account before every command.
metadata_without_account() {
  refused curl --silent --fail -H 'Metadata-Flavor: Google' "$metadata_url/email"
  export CLOUDSDK_CONFIG=$work/gcloud-none CLOUDSDK_CORE_CHECK_GCE_METADATA=true
  export GCE_METADATA_ROOT=127.0.0.1:8080 GCE_METADATA_HOST=127.0.0.1:8080 GCE_METADATA_IP=127.0.0.1:8080
  gcloud auth list 2>&1 | grep -F 'No credentialed accounts'
  gcloud config set project team-one
  grep -F 'gcloud iam service-accounts create metadata --project=team-one' server.log
}
# What stands behind && would go to Google.
env_that_fails() {
  local said
  said=$(sh -c "cd / && eval \"\$('$server_bin' env)\" && echo went on" 2>/dev/null || true)
  [[ -z $said ]]
}
own_configuration() {
  unset CLOUDSDK_CONFIG
  eval "$(berth env --url "https://$host" --ca ca.pem)"
  gcloud auth activate-service-account --key-file=berth-data/owner-key.json
  gcloud projects list --format='value(projectId)' | grep -x berth-admin
  test -s "$HOME/.config/berth/gcloud/$host/credentials.db"
  refused test -e "$HOME/.config/gcloud/credentials.db"
}
# Made before the registry had its name: nobody answers where it points to.
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
