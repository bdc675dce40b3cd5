# shellcheck shell=bash
# Projects, repositories, accounts and roles, by gcloud. Sourced by clients/login/run.

owner_signs_in() {
  export CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE=$work/ca.pem REQUESTS_CA_BUNDLE=$work/ca.pem
  run_page "The owner"
  gcloud auth list --filter=status:ACTIVE --format='value(account)' | grep -x "$owner"
}
accounts_and_roles() {
  run_page "A repository, an account, a role"
  gcloud artifacts repositories describe images --location=us-west1 --format='value(registryUri)' |
    grep -x "$registry_host/team-one/images"
  expect_refused ALREADY_EXISTS gcloud artifacts repositories create images --repository-format=docker --location=us-west1
  # gcloud calls a host that is not of this registry an "Invalid Docker string".
  { gcloud artifacts docker images list "$registry_host/team-one/images" || true; } 2>&1 |
    grep -F 'Listing items under project team-one, location us-west1, repository images.'
  run_parallel account_and_key reader stranger disabled
  gcloud iam service-accounts create metadata
  grant_role reader "$(email_of reader-account)" images us-west1
  grant_role reader "$(email_of metadata)" images us-west1
  grant_role writer "$(email_of disabled-account)" images us-west1
  gcloud iam service-accounts list --format='value(email)' | grep -x "$(email_of writer-account)"
}
account_and_key() {
  gcloud iam service-accounts create "$1-account" --display-name="$1"
  gcloud iam service-accounts keys create "$1.json" --iam-account="$(email_of "$1-account")"
}
# grant_role ROLE EMAIL REPOSITORY LOCATION: gives the account artifactregistry.ROLE on the repository.
grant_role() {
  gcloud artifacts repositories add-iam-policy-binding "$3" --location="$4" --member="serviceAccount:$2" \
    --role="roles/artifactregistry.$1"
}
# run_first_start_commands: runs the commands that the first start printed.
run_first_start_commands() {
  export CLOUDSDK_CONFIG=$work/gcloud-first DOCKER_CONFIG=$work/docker-first
  unset CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE REQUESTS_CA_BUNDLE
  # The server does not have the certificate of the authority, and prints this name in its place.
  grep -F -- '--ca CA.pem' server.log
  cp ca.pem CA.pem
  eval "$(grep '^  ' server.log)" | grep 'Login Succeeded'
  gcloud artifacts repositories describe my-repository --location=us-west1 --project=my-project
}

accounts_come_and_go() {
  local email key
  email=$(email_of passing-account)
  gcloud iam service-accounts create passing-account --display-name=Passing --description="For a while"
  expect_refused 'already exists' gcloud iam service-accounts create passing-account
  expect_refused 'account id' gcloud iam service-accounts create short
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
  expect_refused NOT_FOUND gcloud iam service-accounts describe "$email"
  gcloud iam roles describe roles/artifactregistry.writer --format='value(includedPermissions)' |
    grep artifactregistry.repositories.uploadArtifacts
}
# clients/gcloud/roles.sh has the other commands on custom roles.
custom_role_of_the_page() {
  local member
  member=serviceAccount:$(email_of writer-account)
  run_page "Custom roles" create
  run_page "Custom roles" add-iam-policy-binding
  gcloud artifacts repositories get-iam-policy images --location=us-west1 --format='value(bindings.role)' |
    grep projects/team-one/roles/newImages
  run_page "Custom roles" add-permissions
  run_page "Custom roles" "roles describe" | grep artifactregistry.tags.list
  run_page "Custom roles" "roles list" | grep newImages
  run_page "Custom roles" DISABLED | grep 'stage: DISABLED'
  run_page "Custom roles" "roles delete" | grep 'deleted: true'
  run_page "Custom roles" undelete
  run_page "Custom roles" list-testable-permissions | grep artifactregistry.tags.update
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
  expect_refused PERMISSION_DENIED gcloud projects describe passing-project
}
repositories_come_and_go() {
  gcloud artifacts repositories create passing --repository-format=docker --location=us-west1 --labels=a=b
  gcloud artifacts repositories update passing --location=us-west1 --description=Changed --update-labels=c=d
  gcloud artifacts repositories list --location=us-west1 --format='value(name.basename(),description)' |
    grep 'passing.*Changed'
  gcloud artifacts repositories get-iam-policy passing --location=us-west1
  gcloud artifacts repositories delete passing --location=us-west1
  expect_refused NOT_FOUND gcloud artifacts repositories describe passing --location=us-west1
  gcloud artifacts locations list --format='value(name)' | grep -x us-west1
}

