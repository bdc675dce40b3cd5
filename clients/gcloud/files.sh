# shellcheck shell=bash
# Files: the blobs and manifests of a repository. Sourced by clients/gcloud.

files() { gcloud artifacts files "$@" --repository=images --location=us-west1; }
in_images=projects/$project/locations/us-west1/repositories/images

file_checks() {
  beside "files list of a repository" lists_files
  beside "files list of an image" lists_files_of_image
  beside "files list of a version, by digest and by tag" lists_files_of_version
  beside "files list of an image that is not there" prints "Listed 0 items." files list --package=none
  beside "files list in pages of two, sorted and filtered" lists_files_in_pages
  beside "files describe" describes_files
  beside "files download" downloads_files
  beside "files download in pieces" downloads_in_pieces
  beside "files delete" deletes_files
  beside "attachments list and describe" lists_attachments
  beside "attachments download" downloads_attachment
  beside "attachments delete" deletes_attachment
  beside "files that are not there, or are somebody else's" no_such_files
}

# digests_in LAYOUT…: of all that is pushed of them.
digests_in() {
  local layout
  for layout in "$@"; do (cd "$layout/blobs/sha256" && printf 'sha256:%s\n' *); done | sort -u
}
# files_of [FLAG…]: the digests that gcloud lists.
files_of() { files list --format='value(name.basename())' "$@" | sort; }

lists_files() {
  local said digest size
  equal "$(files_of)" "$(digests_in layout10 layout11 layout12 layout13 layout14 layout15 layout17)"
  said=$(files list)
  digest=$(digest_of layout13)
  size=$(python3 -c 'import os, sys; print("%.3f" % (os.path.getsize(sys.argv[1]) / 2**20))' \
    "layout13/blobs/sha256/${digest#sha256:}")
  grep -E "^FILE +CREATE_TIME +UPDATE_TIME +SIZE \(MB\) +OWNER +ANNOTATIONS" <<<"$said"
  grep -E "^$digest +(20[0-9T:-]{17}) +\1 +$size +$in_images/packages/team%2Fweb%2Ffront/versions/$digest" <<<"$said"
}
lists_files_of_image() {
  equal "$(files_of --package=team/web/front)" "$(digests_in layout13)"
  equal "$(files_of --package=app)" "$(digests_in layout10 layout11 layout12)"
  equal "$(files_of --package="$in_images/packages/app")" "$(digests_in layout10 layout11 layout12)"
  equal "$(files_of --package=multi)" "$(digests_in layout17)"
}
lists_files_of_version() {
  equal "$(files_of --package=app --version="$(digest_of layout10)")" "$(digests_in layout10)"
  equal "$(files_of --package=app --tag=latest)" "$(digests_in layout12)"
  # Of an index it is the index.
  equal "$(files_of --package=multi --tag=1)" "$(digest_of layout17)"
}
lists_files_in_pages() {
  local digests
  digests=$(digests_in layout13)
  equal "$(files_of --package=team/web/front --page-size=2)" "$digests"
  equal "$(files list --sort-by=~name --limit=3 --page-size=2 --format='value(name.basename())')" \
    "$(files_of | sort -r | head -n 3)"
  equal "$(files_of --filter="name=\"$in_images/files/$(head -n 1 <<<"$digests")\"")" "$(head -n 1 <<<"$digests")"
}
describes_files() {
  local said digest
  for digest in $(digests_in layout13); do
    said=$(files describe "$digest" --format=json)
    matches "$said" '.name == $name and .hashes == [{type: "SHA256", value: $hex}] and (.sizeBytes | tostring) == $size
        and .owner == $owner and .createTime == .updateTime' --arg hex "${digest#sha256:}" \
      --arg name "$in_images/files/$digest" --arg size "$(stat -c %s "layout13/blobs/sha256/${digest#sha256:}")" \
      --arg owner "$in_images/packages/team%2Fweb%2Ffront/versions/$(digest_of layout13)"
  done
}
downloads_files() {
  local digest
  mkdir downloaded
  for digest in $(digests_in layout13); do
    prints "Successfully downloaded the file to downloaded" files download "$digest" --destination=downloaded
    cmp "downloaded/sha256%3A${digest#sha256:}" "layout13/blobs/sha256/${digest#sha256:}"
  done
  as reader files download "$(digest_of layout14)" --destination=downloaded --local-filename=manifest.json
  cmp downloaded/manifest.json "layout14/blobs/sha256/$(digest_of layout14 | cut -d : -f 2)"
}
# gcloud asks for 3 MiB at a time.
downloads_in_pieces() {
  local size digest
  for size in 0 1 3145728 3145729 10000000; do
    head -c "$size" /dev/urandom >"piece-$size"
    digest=sha256:$(sha256sum "piece-$size" | cut -d ' ' -f 1)
    a_blob "$changes/pieces" "piece-$size"
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
  a_blob "$changes/files" of-nobody
  delete_file "$digest"
  says NOT_FOUND delete_file "$digest"
  crane push layout16 "$changes/files/own:1"
  says FAILED_PRECONDITION delete_file "$(digest_of layout16)"
  crane delete "$changes/files/own:1"
  delete_file "$(digest_of layout16)"
  refused crane digest "$changes/files/own@$(digest_of layout16)"
  says PERMISSION_DENIED as nobody delete_file "$digest"
}

# attached IMAGE TEXT: what oras attaches to it, as the name of the attachment.
attached() {
  echo "$2" >"attached-$2.json"
  oras attach "$1" "attached-$2.json:application/spdx+json" --artifact-type application/spdx+json \
    --annotation "org.example.about=$2" --format json | jq -er '.digest | sub(":"; "-")'
}
attachments() { gcloud artifacts attachments "$@" --repository=changes --location=us-west1; }
in_changes=projects/$project/locations/us-west1/repositories/changes
# target IMAGE LAYOUT: its version's full name.
target() { echo "$in_changes/packages/${1//\//%2F}/versions/$(digest_of "$2")"; }
lists_attachments() {
  local name said
  crane push layout13 "$changes/attached/listed:1"
  name=$(attached "$changes/attached/listed:1" listed)
  said=$(attachments describe "$name" --format=json)
  matches "$said" '.name == $name and .target == $target and .type == "application/spdx+json"
      and .annotations["org.example.about"] == "listed" and .files == [$file]
      and .ociVersionName == "\($image)/versions/\($digest)"' \
    --arg name "$in_changes/attachments/$name" --arg target "$(target attached/listed layout13)" \
    --arg file "$in_changes/files/sha256:$(sha256sum attached-listed.json | cut -d ' ' -f 1)" \
    --arg image "$in_changes/packages/attached%2Flisted" --arg digest "${name/-/:}"
  equal "$(attachments list --target="$(target attached/listed layout13)" --format='value(name.basename())')" "$name"
  attachments list --format='value(name.basename())' | has "$name"
  says NOT_FOUND attachments describe my-sbom
  says PERMISSION_DENIED as nobody attachments describe "$name"
}
downloads_attachment() {
  local name file
  crane push layout14 "$changes/attached/downloaded:1"
  name=$(attached "$changes/attached/downloaded:1" downloaded)
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
  name=$(attached "$changes/attached/deleted:1" deleted)
  attachments delete "$name"
  says NOT_FOUND attachments describe "$name"
  refused crane digest "$changes/attached/deleted@${name/-/:}"
  is "$changes/attached/deleted:1" layout15
}

# a_blob IMAGE FILE: pushed, and named by nothing.
a_blob() {
  curl --silent --show-error --fail --cacert ca.pem -u "oauth2accesstoken:$(cat owner-token)" -o /dev/null \
    -H 'Content-Type: application/octet-stream' --data-binary "@$2" \
    "https://$host/v2/${1#"$host/"}/blobs/uploads/?digest=sha256:$(sha256sum "$2" | cut -d ' ' -f 1)"
}
no_such_files() {
  local unknown
  unknown=sha256:$(printf '0%.0s' {1..64})
  says NOT_FOUND files describe "$unknown"
  says "not found" files download "$unknown" --destination=.
  says NOT_FOUND files describe some-file.txt
  # Of another repository: a digest alone opens nothing.
  says NOT_FOUND gcloud artifacts files describe "$(digest_of layout13)" --repository=locked --location=us-west1
  says PERMISSION_DENIED as nobody files list
  says PERMISSION_DENIED as nobody files describe "$(digest_of layout13)"
}
