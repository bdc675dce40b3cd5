# shellcheck shell=bash
# Files: the blobs and manifests of a repository. Sourced by clients/gcloud/run.

files() { gcloud artifacts files "$@" --repository=images --location=us-west1; }
in_images=projects/$project/locations/us-west1/repositories/images

file_checks() {
  check_parallel "files list of a repository" lists_files
  check_parallel "files list of an image" lists_files_of_image
  check_parallel "files list of a version, by digest and by tag" lists_files_of_version
  check_parallel "files list of an image that does not exist" expect_output "Listed 0 items." files list --package=none
  check_parallel "files list in pages of two, sorted and filtered" lists_files_in_pages
  check_parallel "files describe" describes_files
  check_parallel "files download" downloads_files
  check_parallel "files download in pieces" downloads_in_pieces
  check_parallel "files delete" deletes_files
  check_parallel "attachments list and describe" lists_attachments
  check_parallel "attachments download" downloads_attachment
  check_parallel "attachments delete" deletes_attachment
  check_parallel "no command finds files that do not exist or are of another repository" no_such_files
}

# digests_in LAYOUT…: prints the digests of all blobs and manifests of the layouts.
digests_in() {
  local layout
  for layout in "$@"; do (cd "$layout/blobs/sha256" && printf 'sha256:%s\n' *); done | sort -u
}
# files_of [FLAG…]: prints the digests that gcloud lists.
files_of() { files list --format='value(name.basename())' "$@" | sort; }

lists_files() {
  local output digest size
  expect_equal "$(files_of)" "$(digests_in layout10 layout11 layout12 layout13 layout14 layout15 layout17)"
  output=$(files list)
  digest=$(digest_of layout13)
  size=$(python3 -c 'import os, sys; print("%.3f" % (os.path.getsize(sys.argv[1]) / 2**20))' \
    "layout13/blobs/sha256/${digest#sha256:}")
  grep -E "^FILE +CREATE_TIME +UPDATE_TIME +SIZE \(MB\) +OWNER +ANNOTATIONS" <<<"$output"
  grep -E "^$digest +(20[0-9T:-]{17}) +\1 +$size +$in_images/packages/team%2Fweb%2Ffront/versions/$digest" <<<"$output"
}
lists_files_of_image() {
  expect_equal "$(files_of --package=team/web/front)" "$(digests_in layout13)"
  expect_equal "$(files_of --package=app)" "$(digests_in layout10 layout11 layout12)"
  expect_equal "$(files_of --package="$in_images/packages/app")" "$(digests_in layout10 layout11 layout12)"
  expect_equal "$(files_of --package=multi)" "$(digests_in layout17)"
}
lists_files_of_version() {
  expect_equal "$(files_of --package=app --version="$(digest_of layout10)")" "$(digests_in layout10)"
  expect_equal "$(files_of --package=app --tag=latest)" "$(digests_in layout12)"
  # The only file of an index is the index itself.
  expect_equal "$(files_of --package=multi --tag=1)" "$(digest_of layout17)"
}
lists_files_in_pages() {
  local digests
  digests=$(digests_in layout13)
  expect_equal "$(files_of --package=team/web/front --page-size=2)" "$digests"
  expect_equal "$(files list --sort-by=~name --limit=3 --page-size=2 --format='value(name.basename())')" \
    "$(files_of | sort -r | head -n 3)"
  expect_equal "$(files_of --filter="name=\"$in_images/files/$(head -n 1 <<<"$digests")\"")" "$(head -n 1 <<<"$digests")"
}
describes_files() {
  local output digest
  for digest in $(digests_in layout13); do
    output=$(files describe "$digest" --format=json)
    expect_json "$output" '.name == $name and .hashes == [{type: "SHA256", value: $hex}] and (.sizeBytes | tostring) == $size
        and .owner == $owner and .createTime == .updateTime' --arg hex "${digest#sha256:}" \
      --arg name "$in_images/files/$digest" --arg size "$(stat -c %s "layout13/blobs/sha256/${digest#sha256:}")" \
      --arg owner "$in_images/packages/team%2Fweb%2Ffront/versions/$(digest_of layout13)"
  done
}
downloads_files() {
  local digest
  mkdir downloaded
  for digest in $(digests_in layout13); do
    expect_output "Successfully downloaded the file to downloaded" files download "$digest" --destination=downloaded
    cmp "downloaded/sha256%3A${digest#sha256:}" "layout13/blobs/sha256/${digest#sha256:}"
  done
  as_account reader files download "$(digest_of layout14)" --destination=downloaded --local-filename=manifest.json
  cmp downloaded/manifest.json "layout14/blobs/sha256/$(digest_of layout14 | cut -d : -f 2)"
}
# gcloud asks for pieces of 3 MiB.
downloads_in_pieces() {
  local size digest
  for size in 0 1 3145728 3145729 10000000; do
    head -c "$size" /dev/urandom >"piece-$size"
    digest=sha256:$(sha256sum "piece-$size" | cut -d ' ' -f 1)
    push_blob "$changes/pieces" "piece-$size"
    gcloud artifacts files download "$digest" --repository=changes --location=us-west1 --destination=. \
      --local-filename="came-$size"
    cmp "piece-$size" "came-$size"
  done
}
delete_file() { gcloud artifacts files delete "$1" --repository=changes --location=us-west1; }
deletes_files() {
  local digest
  head -c 1000 /dev/urandom >of-nobody
  digest=sha256:$(sha256sum of-nobody | cut -d ' ' -f 1)
  push_blob "$changes/files" of-nobody
  delete_file "$digest"
  expect_refused NOT_FOUND delete_file "$digest"
  crane push layout16 "$changes/files/own:1"
  expect_refused FAILED_PRECONDITION delete_file "$(digest_of layout16)"
  crane delete "$changes/files/own:1"
  delete_file "$(digest_of layout16)"
  expect_failure crane digest "$changes/files/own@$(digest_of layout16)"
  expect_refused PERMISSION_DENIED as_account nobody delete_file "$digest"
}

# attach IMAGE TEXT: makes oras attach a file to the image, and prints the name of the attachment.
attach() {
  echo "$2" >"attached-$2.json"
  oras attach "$1" "attached-$2.json:application/spdx+json" --artifact-type application/spdx+json \
    --annotation "org.example.about=$2" --format json | jq -er '.digest | sub(":"; "-")'
}
attachments() { gcloud artifacts attachments "$@" --repository=changes --location=us-west1; }
in_changes=projects/$project/locations/us-west1/repositories/changes
# target IMAGE LAYOUT: prints the full name of the version.
target() { echo "$in_changes/packages/${1//\//%2F}/versions/$(digest_of "$2")"; }
lists_attachments() {
  local name output
  crane push layout13 "$changes/attached/listed:1"
  name=$(attach "$changes/attached/listed:1" listed)
  output=$(attachments describe "$name" --format=json)
  expect_json "$output" '.name == $name and .target == $target and .type == "application/spdx+json"
      and .annotations["org.example.about"] == "listed" and .files == [$file]
      and .ociVersionName == "\($image)/versions/\($digest)"' \
    --arg name "$in_changes/attachments/$name" --arg target "$(target attached/listed layout13)" \
    --arg file "$in_changes/files/sha256:$(sha256sum attached-listed.json | cut -d ' ' -f 1)" \
    --arg image "$in_changes/packages/attached%2Flisted" --arg digest "${name/-/:}"
  expect_equal "$(attachments list --target="$(target attached/listed layout13)" --format='value(name.basename())')" "$name"
  attachments list --format='value(name.basename())' | expect_text "$name"
  expect_refused NOT_FOUND attachments describe my-sbom
  expect_refused PERMISSION_DENIED as_account nobody attachments describe "$name"
}
downloads_attachment() {
  local name file
  crane push layout14 "$changes/attached/downloaded:1"
  name=$(attach "$changes/attached/downloaded:1" downloaded)
  file=$(sha256sum attached-downloaded.json | cut -d ' ' -f 1)
  mkdir by-name by-version
  attachments download "$name" --destination=by-name
  cmp attached-downloaded.json "by-name/$file"
  gcloud artifacts attachments download --destination=by-version \
    --oci-version-name="$in_changes/packages/attached%2Fdownloaded/versions/${name/-/:}"
  cmp attached-downloaded.json "by-version/$file"
}
deletes_attachment() {
  local name
  crane push layout15 "$changes/attached/deleted:1"
  name=$(attach "$changes/attached/deleted:1" deleted)
  attachments delete "$name"
  expect_refused NOT_FOUND attachments describe "$name"
  expect_failure crane digest "$changes/attached/deleted@${name/-/:}"
  expect_image "$changes/attached/deleted:1" layout15
}

# push_blob IMAGE FILE: pushes the file as a blob that no manifest names.
push_blob() {
  curl --silent --show-error --fail --cacert ca.pem -u "oauth2accesstoken:$(cat owner-token)" -o /dev/null \
    -H 'Content-Type: application/octet-stream' --data-binary "@$2" \
    "https://$registry_host/v2/${1#"$registry_host/"}/blobs/uploads/?digest=sha256:$(sha256sum "$2" | cut -d ' ' -f 1)"
}
no_such_files() {
  local unknown
  unknown=sha256:$(printf '0%.0s' {1..64})
  expect_refused NOT_FOUND files describe "$unknown"
  expect_refused "not found" files download "$unknown" --destination=.
  expect_refused NOT_FOUND files describe some-file.txt
  # A digest of another repository opens nothing.
  expect_refused NOT_FOUND gcloud artifacts files describe "$(digest_of layout13)" --repository=locked --location=us-west1
  expect_refused PERMISSION_DENIED as_account nobody files list
  expect_refused PERMISSION_DENIED as_account nobody files describe "$(digest_of layout13)"
}
