# shellcheck shell=bash
# Custom roles. Sourced by clients/gcloud/run.

custom_role_checks() {
  check_parallel "custom roles are created by flags and from a file" roles_are_created
  check_parallel "custom roles are updated by flags and from a file" roles_are_updated
  check_parallel "custom roles are deleted, listed and restored" roles_come_and_go
  check_parallel "roles are copied into a project and into the organization" roles_are_copied
  check_parallel "permissions and grantable roles are listed" roles_and_permissions_are_listed
  check_parallel "a custom role is granted, disabled and deleted" custom_roles_are_granted
}
roles() { gcloud iam roles "$@" --project="$project"; }
pull=artifactregistry.repositories.downloadArtifacts
push=artifactregistry.repositories.uploadArtifacts

roles_are_created() {
  local file=created.yaml
  roles create byFlags --title="By flags" --description="Made by flags" --permissions="$pull,$push" --stage=BETA
  expect_json "$(roles describe byFlags --format=json)" '.name == $name and .title == "By flags" and .stage == "BETA"
      and .description == "Made by flags" and .includedPermissions == [$pull, $push]
      and (.etag | test("^[A-Za-z0-9+/]{11}=$"))' \
    --arg name "projects/$project/roles/byFlags" --arg pull "$pull" --arg push "$push"
  roles create plainRole
  expect_json "$(roles describe plainRole --format=json)" '.stage == "ALPHA" and .includedPermissions == null'
  printf 'title: By file\ndescription: Made from a file\nstage: GA\nincludedPermissions:\n- %s\n' "$pull" >"$file"
  roles create by_file.1 --file="$file"
  expect_json "$(roles describe by_file.1 --format=json)" '.title == "By file" and .includedPermissions == [$pull]' \
    --arg pull "$pull"
  expect_refused "A role named byFlags in projects/$project already exists" roles create byFlags --title=Again
  expect_refused "Permission storage.objects.get is not valid" roles create unknown --permissions=storage.objects.get
  expect_refused role_id roles create with-hyphen --permissions="$pull"
  expect_refused role.title roles create longTitle --title="$(printf 'x%.0s' {1..101})"
  expect_denied iam.roles.create as_account reader roles create mine --permissions="$pull"
  expect_denied iam.roles.get as_account nobody roles describe byFlags
}
roles_are_updated() {
  roles create changing --title=Changing --permissions="$pull"
  roles describe changing >before.yaml
  roles update changing --title=Changed --stage=GA --add-permissions="$push"
  expect_json "$(roles describe changing --format=json)" '.title == "Changed" and .stage == "GA"
      and .includedPermissions == [$pull, $push]' --arg pull "$pull" --arg push "$push"
  roles update changing --remove-permissions="$pull" --description=Pushes
  expect_json "$(roles describe changing --format=json)" '.description == "Pushes" and .includedPermissions == [$push]' \
    --arg push "$push"
  roles update changing --permissions="$pull"
  # The file has the etag of the first version.
  expect_refused 'Stale "etag"' roles update changing --file=before.yaml
  roles describe changing >now.yaml
  sed -i 's/^title: .*/title: From a file/' now.yaml
  roles update changing --file=now.yaml
  expect_json "$(roles describe changing --format=json)" '.title == "From a file" and .includedPermissions == [$pull]' \
    --arg pull "$pull"
  expect_refused "Permission a.b.c is not valid" roles update changing --add-permissions=a.b.c
  expect_refused NOT_FOUND roles update absent --title=Absent
}
roles_come_and_go() {
  local output
  gcloud iam roles create passing --organization=1 --title=Passing --permissions="$pull" --stage=GA
  expect_output passing gcloud iam roles list --organization=1 --format='value(name.basename())'
  roles create passing --title=Passing --permissions="$pull" --stage=GA
  expect_output "deleted: true" roles delete passing
  output=$(roles list --format='value(name.basename())')
  ! grep -x passing <<<"$output" || return 1
  roles list --show-deleted --format='value(name.basename(),deleted)' | grep "^passing$(printf '\t')True$"
  expect_refused "marked for deletion" roles create passing --permissions="$pull"
  expect_refused "marked for deletion" roles delete passing
  roles undelete passing
  roles list --format='value(name.basename())' | grep -x passing
  expect_output "title: Passing" roles describe passing
  expect_output "deleted: true" gcloud iam roles delete passing --organization=1
  gcloud iam roles undelete passing --organization=1
  gcloud iam roles list --format='value(name)' | grep -x roles/iam.roleAdmin
}
roles_are_copied() {
  local source=roles/artifactregistry.reader output
  gcloud iam roles copy --source="$source" --destination=reader.copy --dest-project="$project" 2>copy.err
  # gcloud warns of each permission that it leaves out.
  ! grep -i warning copy.err || return 1
  expect_equal "$(roles describe reader.copy --format='value(includedPermissions)')" \
    "$(gcloud iam roles describe "$source" --format='value(includedPermissions)')"
  gcloud iam roles copy --source=reader.copy --source-project="$project" --destination=reader.copy \
    --dest-organization=1
  output=$(gcloud iam roles describe reader.copy --organization=1 --format=json)
  expect_json "$output" '.name == "organizations/1/roles/reader.copy" and (.includedPermissions | length == 33)'
}
roles_and_permissions_are_listed() {
  local name=//artifactregistry.googleapis.com/projects/$project/locations/us-west1/repositories/images
  roles create listedRole --title=Listed --permissions="$pull"
  gcloud iam list-testable-permissions "$name" --format='value(name)' >testable.txt
  grep -x "$pull" testable.txt
  grep -x iam.roles.create testable.txt
  sort --check --unique testable.txt
  gcloud iam list-grantable-roles "$name" --format='value(name)' >grantable.txt
  grep -x roles/artifactregistry.reader grantable.txt
  grep -x "projects/$project/roles/listedRole" grantable.txt
  as_account nobody gcloud iam list-grantable-roles "$name" --format='value(name)' >grantable-to-nobody.txt
  ! grep -F listedRole grantable-to-nobody.txt || return 1
  gcloud iam list-grantable-roles "//cloudresourcemanager.googleapis.com/projects/$project" --format='value(name)' |
    grep -x roles/owner
}
# pull_status ACCOUNT: prints the status that the account gets for the manifest of by-role/app:1.
pull_status() {
  curl --silent --cacert ca.pem --output /dev/null --write-out '%{http_code}' \
    -H "Authorization: Bearer $(cat "$1-token")" "https://$registry_host/v2/$project/by-role/app/manifests/1"
}
custom_roles_are_granted() {
  local role=projects/$project/roles/puller image=$registry_host/$project/by-role/app
  local member=serviceAccount:passing-reader-account@$project.iam.gserviceaccount.com
  create_repository by-role us-west1
  create_account passing-reader
  crane push layout10 "$image:1"
  roles create puller --title=Puller --permissions="$pull" --stage=GA
  expect_equal "$(pull_status passing-reader)" 403
  gcloud artifacts repositories add-iam-policy-binding by-role --location=us-west1 --member="$member" --role="$role"
  expect_equal "$(pull_status passing-reader)" 200
  roles update puller --stage=DISABLED
  expect_equal "$(pull_status passing-reader)" 403
  roles update puller --stage=GA
  expect_equal "$(pull_status passing-reader)" 200
  roles delete puller
  expect_equal "$(pull_status passing-reader)" 403
  expect_refused "Role ($role) does not exist in the resource's hierarchy" \
    gcloud projects add-iam-policy-binding "$project" --condition=None --member="$member" --role="$role"
  expect_json "$(gcloud artifacts repositories get-iam-policy by-role --location=us-west1 --format=json)" \
    '.bindings[0].role == $role' --arg role "$role"
  roles undelete puller
  expect_equal "$(pull_status passing-reader)" 200
  gcloud projects create other-project
  expect_refused "does not exist in the resource's hierarchy" gcloud projects add-iam-policy-binding other-project \
    --condition=None --member="$member" --role="$role"
  gcloud projects add-iam-policy-binding "$project" --condition=None --member="$member" --role="$role"
  gcloud projects remove-iam-policy-binding "$project" --condition=None --member="$member" --role="$role"
}
