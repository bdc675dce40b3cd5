# shellcheck shell=bash
# Projects, repositories, accounts and roles, by gcloud. Sourced by clients/login.

owner_signs_in() {
  export CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE=$work/ca.pem REQUESTS_CA_BUNDLE=$work/ca.pem
  run_page "The owner"
  gcloud auth list --filter=status:ACTIVE --format='value(account)' | grep -x "$owner"
}
accounts_and_roles() {
  run_page "A repository, an account, a role"
  gcloud artifacts repositories describe images --location=us-west1 --format='value(registryUri)' |
    grep -x "$host/team-one/images"
  says ALREADY_EXISTS gcloud artifacts repositories create images --repository-format=docker --location=us-west1
  # The host is one of this registry's: another would be an "Invalid Docker string".
  { gcloud artifacts docker images list "$host/team-one/images" || true; } 2>&1 |
    grep -F 'Listing items under project team-one, location us-west1, repository images.'
  side_by_side account_and_key reader stranger disabled
  gcloud iam service-accounts create metadata
  may reader "$(email_of reader-account)" images us-west1
  may reader "$(email_of metadata)" images us-west1
  may writer "$(email_of disabled-account)" images us-west1
  gcloud iam service-accounts list --format='value(email)' | grep -x "$(email_of writer-account)"
}
account_and_key() {
  gcloud iam service-accounts create "$1-account" --display-name="$1"
  gcloud iam service-accounts keys create "$1.json" --iam-account="$(email_of "$1-account")"
}
# may ROLE EMAIL REPOSITORY LOCATION
may() {
  gcloud artifacts repositories add-iam-policy-binding "$3" --location="$4" --member="serviceAccount:$2" \
    --role="roles/artifactregistry.$1"
}
# What the first start printed, in the words of a shell.
first_start_says() {
  export CLOUDSDK_CONFIG=$work/gcloud-first DOCKER_CONFIG=$work/docker-first
  unset CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE REQUESTS_CA_BUNDLE
  # The authority's certificate, which the server does not have, under the name that stands there for it.
  grep -F -- '--ca CA.pem' server.log
  cp ca.pem CA.pem
  eval "$(grep '^  ' server.log)" | grep 'Login Succeeded'
  gcloud artifacts repositories describe my-repository --location=us-west1 --project=my-project
}

accounts_come_and_go() {
  local email key
  email=$(email_of passing-account)
  gcloud iam service-accounts create passing-account --display-name=Passing --description="For a while"
  says 'already exists' gcloud iam service-accounts create passing-account
  says 'account id' gcloud iam service-accounts create short
  gcloud iam service-accounts describe "$email" --format='value(displayName,description)' | grep 'Passing.*For a while'
  gcloud iam service-accounts update "$email" --display-name=Renamed
  gcloud iam service-accounts disable "$email"
  gcloud iam service-accounts describe "$email" --format='value(displayName,disabled)' | grep 'Renamed.*True'
  gcloud iam service-accounts enable "$email"
  gcloud iam service-accounts keys create passing.json --iam-account="$email"
  key=$(jq -r .private_key_id passing.json)
  gcloud iam service-accounts keys list --iam-account="$email" --managed-by=user --format='value(name.basename())' |
    grep -x "$key"
  gcloud iam service-accounts keys delete "$key" --iam-account="$email"
  gcloud iam service-accounts get-iam-policy "$email"
  gcloud iam service-accounts delete "$email"
  says NOT_FOUND gcloud iam service-accounts describe "$email"
  gcloud iam roles describe roles/artifactregistry.writer --format='value(includedPermissions)' |
    grep artifactregistry.repositories.uploadArtifacts
  says UNIMPLEMENTED gcloud iam roles create own --project=team-one \
    --permissions=artifactregistry.repositories.get --title=Own
}
projects_come_and_go() {
  gcloud projects create passing-project
  gcloud projects list --format='value(projectId)' | grep -x passing-project
  gcloud projects add-iam-policy-binding passing-project --condition=None \
    --member="serviceAccount:$(email_of reader-account)" --role=roles/viewer
  gcloud projects get-iam-policy passing-project --format='value(bindings.role)' | grep roles/viewer
  gcloud projects remove-iam-policy-binding passing-project --condition=None \
    --member="serviceAccount:$(email_of reader-account)" --role=roles/viewer
  gcloud projects delete passing-project
  says PERMISSION_DENIED gcloud projects describe passing-project
}
repositories_come_and_go() {
  gcloud artifacts repositories create passing --repository-format=docker --location=us-west1 --labels=a=b
  gcloud artifacts repositories update passing --location=us-west1 --description=Changed --update-labels=c=d
  gcloud artifacts repositories list --location=us-west1 --format='value(name.basename(),description)' |
    grep 'passing.*Changed'
  gcloud artifacts repositories get-iam-policy passing --location=us-west1
  gcloud artifacts repositories delete passing --location=us-west1
  says NOT_FOUND gcloud artifacts repositories describe passing --location=us-west1
  gcloud artifacts locations list --format='value(name)' | grep -x us-west1
}

