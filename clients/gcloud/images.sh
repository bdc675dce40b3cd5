# shellcheck shell=bash
# The images that the suite pushes, and the commands that list and describe them. Sourced by clients/gcloud/run.

images=$registry_host/$project/images
changes=$registry_host/$project/changes
locked=$registry_host/$project/locked

set_up() {
  local name
  api projects --data "{\"projectId\":\"$project\"}"
  for name in reader nobody; do create_account "$name"; done
  for name in images changes locked; do create_repository "$name" us-west1; done
  crane auth login "$registry_host" --username oauth2accesstoken --password-stdin <owner-token
}
check_role() {
  check "an account gets the role of a reader" expect_output "$(email_of reader-account)" \
    gcloud artifacts repositories add-iam-policy-binding images --location=us-west1 \
    --member="serviceAccount:$(email_of reader-account)" --role=roles/artifactregistry.reader
}

# make_layout FOLDER SEED [PLATFORM…]: makes an OCI layout of an image with two layers, or of an index with an image for
# each platform. FOLDER.digests has a line for the image or index, and one for each image of the index: the digest, and
# the bytes of manifest, configuration and layers. An index has 0 bytes.
make_layout() {
  python3 - "$@" <<'PY'
import gzip, hashlib, json, os, random, sys
folder, seed, *platforms = sys.argv[1:]
os.makedirs(f"{folder}/blobs/sha256")
bytes_of = random.Random(seed).randbytes
lines = []
def descriptor(kind, content):
    digest = hashlib.sha256(content).hexdigest()
    with open(f"{folder}/blobs/sha256/{digest}", "wb") as file:
        file.write(content)
    return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(content)}
def document(kind, **fields):
    return descriptor(f"{kind}+json", json.dumps(fields).encode())
def image(platform):
    system, architecture = platform.split("/")
    layers, plain = [], []
    for size in 20000, 30000 + int(seed):
        content = bytes_of(size)
        plain.append(f"sha256:{hashlib.sha256(content).hexdigest()}")
        layers.append(descriptor("layer.v1.tar+gzip", gzip.compress(content, mtime=0)))
    config = document("config.v1", created=f"20{seed}-03-04T05:06:07Z", os=system, architecture=architecture,
                      rootfs={"type": "layers", "diff_ids": plain})
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = document("manifest.v1", schemaVersion=2, mediaType=kind, config=config, layers=layers)
    lines.append((manifest["digest"], sum(part["size"] for part in [manifest, config, *layers])))
    return manifest | {"platform": {"os": system, "architecture": architecture}}
if platforms:
    kind = "application/vnd.oci.image.index.v1+json"
    pushed = document("index.v1", schemaVersion=2, mediaType=kind, manifests=[image(p) for p in platforms])
    lines.insert(0, (pushed["digest"], 0))
else:
    pushed = image("linux/amd64")
json.dump({"schemaVersion": 2, "manifests": [pushed]}, open(f"{folder}/index.json", "w"))
json.dump({"imageLayoutVersion": "1.0.0"}, open(f"{folder}/oci-layout", "w"))
with open(f"{folder}.digests", "w") as file:
    file.writelines(f"{digest} {size}\n" for digest, size in lines)
PY
}
# push LAYOUT REPOSITORY/IMAGE:TAG: pushes, and notes the time in the file `pushed`: IMAGE DIGEST SIZE FROM TO.
push() {
  local from to digest size
  from=$(date +%s)
  crane push "$1" "$2"
  to=$(date +%s)
  while read -r digest size; do echo "${2%:*} $digest $size $from $to" >>pushed; done <"$1.digests"
}
digest_of() { head -n 1 "$1.digests" | cut -d ' ' -f 1; }

# No check changes the repository `images`. The first image of `app` loses its tag to the second; the second and the
# third image get another tag each. Pushes whose order a check looks at are a second apart.
images_are_pushed() {
  local name
  for name in 10 11 12 13 14 15 16; do make_layout "layout$name" "$name"; done
  make_layout layout17 17 linux/amd64 linux/arm64
  push layout10 "$images/app:moving"
  push layout13 "$images/team/web/front:1"
  push layout14 "$images/team/web/back:1"
  push layout15 "$images/team-two/app:1"
  push layout17 "$images/multi:1"
  sleep 1.1
  push layout11 "$images/app:moving"
  sleep 1.1
  push layout12 "$images/app:2.0"
  crane tag "$images/app:moving" 1.0
  crane tag "$images/app:2.0" latest
  # The time of the last change in `images`.
  date +%s >changed
  # Each of these images is for one check, which changes it.
  for name in deleted/alone deleted/several deleted/by-digest deleted/whole deleted/later tags/added tags/moved \
    tags/own versions/own versions/own-notes package/gone; do
    push layout10 "$changes/$name:1"
    push layout11 "$changes/$name:2"
    crane tag "$changes/$name:2" also
  done
  for name in deleted/untagged versions/untagged; do
    push layout10 "$changes/$name:1"
    push layout11 "$changes/$name:1"
  done
  push layout17 "$changes/deleted/whole:multi"
  push layout10 "$locked/app:1"
  push layout11 "$locked/app:2"
}

# expect_table ACTUAL EXPECTED: the tables have the same header and, in any order, the same rows. FROM..TO stands for a
# time between these two, in the time zone of the suite. Tags may be in any order. gcloud prints a header for each page.
expect_table() {
  python3 - "$1" "$2" <<'PY'
import re, sys, time
shown, meant = ([line.split() for line in text.splitlines() if line.strip()] for text in sys.argv[1:])
def same(word, expected):
    if not (window := re.fullmatch(r"(\d+)\.\.(\d+)", expected)):
        return sorted(word.split(",")) == sorted(expected.split(","))
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", word):
        return False
    return int(window[1]) <= time.mktime(time.strptime(word, "%Y-%m-%dT%H:%M:%S")) <= int(window[2])
def same_row(row, expected):
    return len(row) == len(expected) and all(map(same, row, expected))
left = [row for row in shown if row != meant[0]]
missing = []
for expected in meant[1:]:
    found = next((row for row in left if same_row(row, expected)), None)
    left.remove(found) if found else missing.append(expected)
if not shown or shown[0] != meant[0] or missing or left:
    lines = lambda rows: "\n".join(" ".join(row) for row in rows)
    sys.exit(f"{len(shown)} lines; these are missing:\n{lines(missing)}\nand these are too many:\n{lines(left)}")
PY
}
# versions_of IMAGE: prints DIGEST CREATED UPDATED SIZE for each pushed version. The versions of app changed later too.
versions_of() {
  local image digest size from to last
  while read -r image digest size from to; do
    [[ $image = "$images/$1" ]] || continue
    last=$to
    [[ $1 != app ]] || last=$(cat changed)
    echo "$digest $from..$to $from..$last $size"
  done <pushed
}
# rows [tags] IMAGE…: prints the table that `images list` shows of the pushed versions.
rows() {
  local tags='' name digest created updated size
  [[ $1 != tags ]] || { tags=TAGS && shift; }
  echo "IMAGE DIGEST $tags CREATE_TIME UPDATE_TIME SIZE"
  for name in "$@"; do
    while read -r digest created updated size; do
      # Without a tag the column is empty.
      echo "$images/$name $digest ${tags:+$(sed -n "s/^$digest //p" tagged)} $created $updated $size"
    done < <(versions_of "$name")
  done
}
all=(app team/web/front team/web/back team-two/app multi)
list() { gcloud artifacts docker images list "$@"; }

list_checks() {
  local name
  {
    echo "$(digest_of layout11) 1.0,moving"
    echo "$(digest_of layout12) 2.0,latest"
    for name in 13 14 15 17; do echo "$(digest_of "layout$name") 1"; done
  } >tagged
  check_parallel "images list of a repository" lists_repository
  check_parallel "images list of a repository with tags" lists_with_tags
  check_parallel "images list of an image" lists_image
  check_parallel "images list of an image with tags" lists_image_with_tags
  check_parallel "images list of an image with a nested name" lists_nested
  check_parallel "images list of an index" lists_index
  check_parallel "images list of images whose names begin with a prefix" lists_prefix
  check_parallel "images list of an image that does not exist" expect_output "Listed 0 items." list "$images/none"
  check_parallel "images list in pages of two" lists_in_pages
  check_parallel "images list of an image in pages of two" lists_image_in_pages
  check_parallel "images list sorted" lists_sorted
  check_parallel "images list of an image sorted by change, with a limit" lists_image_by_change
  check_parallel "images list of an image sorted by age, with a limit" lists_image_by_age
  check_parallel "images list with a limit" lists_limited
  check_parallel "images list with a filter" lists_filtered
  check_parallel "images list as JSON" lists_as_json
  check_parallel "images describe by tag" describes_by_tag
  check_parallel "images describe by digest" describes_by_digest
  check_parallel "images describe without a tag" describes_latest
  check_parallel "images describe of an index" describes_index
  check_parallel "images describe of a tag and a digest that do not exist" describes_nothing
  check_parallel "images list with occurrences" lists_with_occurrences
  check_parallel "images describe with all metadata" describes_with_metadata
  check_parallel "images describe with some metadata" describes_with_some_metadata
  check_parallel "scans are not served" scans_are_not_served
  check_parallel "docker tags list of a repository" lists_tags
  check_parallel "docker tags list of an image" lists_tags_of_image
  check_parallel "docker tags list in pages of two" lists_tags_in_pages
}
lists_repository() {
  local output
  output=$(list "$images" 2>images.err)
  expect_text "Listing items under project $project, location us-west1, repository images." <images.err
  expect_table "$output" "$(rows "${all[@]}")"
}
lists_with_tags() { expect_table "$(list "$images" --include-tags)" "$(rows tags "${all[@]}")"; }
lists_image() { expect_table "$(list "$images/app")" "$(rows app)"; }
lists_image_with_tags() { expect_table "$(list "$images/app" --include-tags)" "$(rows tags app)"; }
lists_nested() { expect_table "$(list "$images/team/web/front" --include-tags)" "$(rows tags team/web/front)"; }
lists_index() { expect_table "$(list "$images/multi" --include-tags)" "$(rows tags multi)"; }
# The prefix is whole parts of a name: team-two is not in team.
lists_prefix() { expect_table "$(list "$images/team")" "$(rows team/web/front team/web/back)"; }
lists_in_pages() { expect_table "$(list "$images" --page-size=2)" "$(rows "${all[@]}")"; }
lists_image_in_pages() { expect_table "$(list "$images/app" --page-size=2)" "$(rows app)"; }
lists_sorted() {
  expect_equal "$(list "$images" --sort-by=~createTime --format='value(version)' | head -n 2)" \
    "$(digest_of layout12)
$(digest_of layout11)"
}
# The registry sorts the versions of an image: gcloud receives only these.
lists_image_by_change() {
  expect_equal "$(list "$images/app" --sort-by=~UPDATE_TIME --limit=2 --format='value(version)')" \
    "$(digest_of layout12)
$(digest_of layout11)"
}
lists_image_by_age() {
  expect_equal "$(list "$images/app" --sort-by=~CREATE_TIME --limit=2 --format='value(version)')" \
    "$(digest_of layout12)
$(digest_of layout11)"
  expect_equal "$(list "$images/app" --sort-by=create_time --limit=1 --format='value(version)')" "$(digest_of layout10)"
}
lists_limited() { expect_equal "$(list "$images" --limit=2 --page-size=1 --format='value(version)' | wc -l)" 2; }
lists_filtered() {
  expect_equal "$(list "$images" --include-tags --filter='tags:latest' --format='value(version)')" "$(digest_of layout12)"
  expect_equal "$(list "$images" --filter='package~web/f' --format='value(version)')" "$(digest_of layout13)"
}
lists_as_json() {
  local output digest size
  read -r digest size <layout13.digests
  output=$(list "$images" --include-tags --format=json)
  expect_json "$output" 'length == 9 and (.[] | select(.package == $image) |
      .version == $digest and .tags == ["1"] and .metadata.imageSizeBytes == $size
      and .metadata.mediaType == "application/vnd.oci.image.manifest.v1+json"
      and (.metadata.buildTime | startswith("2013-03-04T05:06:07"))
      and .metadata.name == $name)' \
    --arg image "$images/team/web/front" --arg digest "$digest" --arg size "$size" \
    --arg name "projects/$project/locations/us-west1/repositories/images/dockerImages/team%2Fweb%2Ffront@$digest"
}

describe() { gcloud artifacts docker images describe "$@"; }
# expect_described NAME IMAGE LAYOUT [FLAG…]: `describe` shows the image and no other metadata.
expect_described() {
  local output
  output=$(describe "$1" --format=json "${@:4}")
  expect_json "$output" '. == {image_summary: {digest: $digest, fully_qualified_digest: "\($image)@\($digest)",
      registry: $host, repository: "images", slsa_build_level: "unknown"}}' \
    --arg digest "$(digest_of "$3")" --arg image "$2" --arg host "$registry_host"
}
describes_by_tag() { expect_described "$images/team/web/front:1" "$images/team/web/front" layout13; }
describes_by_digest() { expect_described "$images/app@$(digest_of layout10)" "$images/app" layout10; }
describes_latest() { expect_described "$images/app" "$images/app" layout12; }
describes_index() { expect_described "$images/multi:1" "$images/multi" layout17; }
describes_nothing() {
  expect_refused "Image not found." describe "$images/app:none"
  expect_refused "Image not found." describe "$images/team-two/app@$(digest_of layout10)"
}
# The registry scans no images, and the network namespace has no way out: gcloud asks this registry for occurrences.
lists_with_occurrences() {
  local output
  output=$(list "$images" --show-occurrences --include-tags --format=json)
  expect_json "$output" 'length == 9 and (map(select(.tags == ["1.0", "moving"])) | length == 1)
      and all(has("vuln_counts") or has("DISCOVERY") | not)'
  expect_equal "$(list "$images" --show-occurrences --show-occurrences-from=1 --format='value(version)')" \
    "$(digest_of layout12)"
  expect_equal "$(list "$images/app" --occurrence-filter='kind="VULNERABILITY"' --format='value(version)' | wc -l)" 3
  expect_denied containeranalysis.occurrences.list as_account reader list "$images/app" --show-occurrences
}
describes_with_metadata() {
  expect_described "$images/app" "$images/app" layout12 --show-all-metadata
  expect_described "$images/app" "$images/app" layout12 --show-package-vulnerability
}
describes_with_some_metadata() {
  expect_described "$images/app@$(digest_of layout10)" "$images/app" layout10 --show-provenance --show-sbom-references \
    --show-build-details --show-deployment --show-image-basis
  expect_described "$images/multi:1" "$images/multi" layout17 --metadata-filter='kind="BUILD"'
}
scans_are_not_served() {
  local location=projects/$project/locations/us
  expect_refused NOT_FOUND gcloud artifacts docker images get-operation "$location/operations/none"
  expect_refused NOT_FOUND gcloud artifacts docker images list-vulnerabilities "$location/scans/none"
}

tags_list() { gcloud artifacts docker tags list "$@"; }
# tag_rows LAYOUT IMAGE TAG…: prints the rows that `tags list` shows of the tags.
tag_rows() {
  local tag
  for tag in "${@:3}"; do echo "$tag $images/$2 $(digest_of "$1")"; done
}
tags_of_app() { tag_rows layout11 app 1.0 moving && tag_rows layout12 app 2.0 latest; }
all_tags() {
  echo "TAG IMAGE DIGEST"
  tags_of_app
  tag_rows layout13 team/web/front 1
  tag_rows layout14 team/web/back 1
  tag_rows layout15 team-two/app 1
  tag_rows layout17 multi 1
}
lists_tags() { expect_table "$(tags_list "$images")" "$(all_tags)"; }
lists_tags_of_image() {
  expect_table "$(tags_list "$images/team/web/back")" "$(echo "TAG IMAGE DIGEST" && tag_rows layout14 team/web/back 1)"
}
lists_tags_in_pages() {
  expect_table "$(tags_list "$images/app" --page-size=2)" "$(echo "TAG IMAGE DIGEST" && tags_of_app)"
}
