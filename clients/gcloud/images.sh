# shellcheck shell=bash
# The images that are pushed, and how they are listed and described. Sourced by clients/gcloud.

images=$host/$project/images
changes=$host/$project/changes
locked=$host/$project/locked

# api PATH [ARGUMENT…]: for what is set up, because gcloud takes long. clients/login does this by gcloud.
api() {
  curl --silent --show-error --fail --cacert ca.pem -H "Authorization: Bearer $(cat owner-token)" \
    -H 'Content-Type: application/json' "https://$host/v1/$1" "${@:2}"
}
email_of() { echo "$1@$project.iam.gserviceaccount.com"; }
set_up() {
  local name
  api projects --data "{\"projectId\":\"$project\"}"
  for name in reader-account nobody-account; do
    api "projects/$project/serviceAccounts" --data "{\"accountId\":\"$name\"}"
    api "projects/$project/serviceAccounts/$(email_of "$name")/keys" --data '{}' |
      jq -er .privateKeyData | base64 --decode >"$name.json"
    berth token --key "$name.json" >"${name%-account}-token"
  done
  for name in images changes locked; do a_repository "$name" us-west1; done
  crane auth login "$host" --username oauth2accesstoken --password-stdin <owner-token
}
# a_repository NAME LOCATION [FIELDS]: for a check that is about something else than its creation.
a_repository() {
  api "projects/$project/locations/$2/repositories?repositoryId=$1" --data "$(jq -n '{format: "DOCKER"} + $fields' \
    --argjson fields "${3:-"{}"}")"
}
may_read() {
  check "a role for an account that reads" prints "$(email_of reader-account)" \
    gcloud artifacts repositories add-iam-policy-binding images --location=us-west1 \
    --member="serviceAccount:$(email_of reader-account)" --role=roles/artifactregistry.reader
}

# layout FOLDER SEED [PLATFORM…]: an image of two layers as an OCI layout, or an index with one for each platform.
# FOLDER.digests has the digest of what is pushed, then those of its images, each with its bytes: its manifest, its
# configuration and its layers. An index has none.
layout() {
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
# push LAYOUT REPOSITORY/IMAGE:TAG: remembers in `pushed` when that was: IMAGE DIGEST SIZE FROM TO.
push() {
  local from to digest size
  from=$(date +%s)
  crane push "$1" "$2"
  to=$(date +%s)
  while read -r digest size; do echo "${2%:*} $digest $size $from $to" >>pushed; done <"$1.digests"
}
digest_of() { head -n 1 "$1.digests" | cut -d ' ' -f 1; }

# In `images` all stays as it is: app's first image loses its tag to the second, which gets another one, as the third
# does. Moments are a second apart where an order is looked at.
images_are_pushed() {
  local name
  for name in 10 11 12 13 14 15 16; do layout "layout$name" "$name"; done
  layout layout17 17 linux/amd64 linux/arm64
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
  # The latest change of anything here.
  date +%s >changed
  # Of these each is for one check, which changes it.
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

# same_table ACTUAL EXPECTED: the same header and, in any order, the same rows. A FROM..TO stands for a moment between
# these, as it is shown here; tags may stand in any order. gcloud shows each page with a header of its own.
same_table() {
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
# versions_of IMAGE: DIGEST CREATED UPDATED SIZE for each that was pushed. Those of app were changed later too.
versions_of() {
  local image digest size from to last
  while read -r image digest size from to; do
    [[ $image = "$images/$1" ]] || continue
    last=$to
    [[ $1 != app ]] || last=$(cat changed)
    echo "$digest $from..$to $from..$last $size"
  done <pushed
}
# rows [tags] IMAGE…: of what was pushed, as `images list` shows it.
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
  beside "images list of a repository" lists_repository
  beside "images list of a repository with tags" lists_with_tags
  beside "images list of an image" lists_image
  beside "images list of an image with tags" lists_image_with_tags
  beside "images list of an image with a nested name" lists_nested
  beside "images list of an index" lists_index
  beside "images list of what names begin with" lists_prefix
  beside "images list of an image that is not there" prints "Listed 0 items." list "$images/none"
  beside "images list in pages of two" lists_in_pages
  beside "images list of an image in pages of two" lists_image_in_pages
  beside "images list sorted" lists_sorted
  beside "images list of an image sorted by change, the first ones" lists_image_by_change
  beside "images list of an image sorted by age, the first ones" lists_image_by_age
  beside "images list with a limit" lists_limited
  beside "images list with a filter" lists_filtered
  beside "images list as JSON" lists_as_json
  beside "images describe by tag" describes_by_tag
  beside "images describe by digest" describes_by_digest
  beside "images describe without a tag" describes_latest
  beside "images describe an index" describes_index
  beside "images describe what is not there" describes_nothing
  beside "images list with what is known of images" lists_with_occurrences
  beside "images describe with all that is known of it" describes_with_metadata
  beside "images describe with some of what is known of it" describes_with_some_metadata
  beside "scans, which are not served" scans_are_not_served
  beside "docker tags list of a repository" lists_tags
  beside "docker tags list of an image" lists_tags_of_image
  beside "docker tags list in pages of two" lists_tags_in_pages
}
lists_repository() {
  local said
  said=$(list "$images" 2>said)
  has "Listing items under project $project, location us-west1, repository images." <said
  same_table "$said" "$(rows "${all[@]}")"
}
lists_with_tags() { same_table "$(list "$images" --include-tags)" "$(rows tags "${all[@]}")"; }
lists_image() { same_table "$(list "$images/app")" "$(rows app)"; }
lists_image_with_tags() { same_table "$(list "$images/app" --include-tags)" "$(rows tags app)"; }
lists_nested() { same_table "$(list "$images/team/web/front" --include-tags)" "$(rows tags team/web/front)"; }
lists_index() { same_table "$(list "$images/multi" --include-tags)" "$(rows tags multi)"; }
# Whole parts of a name: team-two is not in team.
lists_prefix() { same_table "$(list "$images/team")" "$(rows team/web/front team/web/back)"; }
lists_in_pages() { same_table "$(list "$images" --page-size=2)" "$(rows "${all[@]}")"; }
lists_image_in_pages() { same_table "$(list "$images/app" --page-size=2)" "$(rows app)"; }
lists_sorted() {
  equal "$(list "$images" --sort-by=~createTime --format='value(version)' | head -n 2)" \
    "$(digest_of layout12)
$(digest_of layout11)"
}
# Of an image it is the registry that sorts: gcloud gets no more than these.
lists_image_by_change() {
  equal "$(list "$images/app" --sort-by=~UPDATE_TIME --limit=2 --format='value(version)')" \
    "$(digest_of layout12)
$(digest_of layout11)"
}
lists_image_by_age() {
  equal "$(list "$images/app" --sort-by=~CREATE_TIME --limit=2 --format='value(version)')" \
    "$(digest_of layout12)
$(digest_of layout11)"
  equal "$(list "$images/app" --sort-by=create_time --limit=1 --format='value(version)')" "$(digest_of layout10)"
}
lists_limited() { equal "$(list "$images" --limit=2 --page-size=1 --format='value(version)' | wc -l)" 2; }
lists_filtered() {
  equal "$(list "$images" --include-tags --filter='tags:latest' --format='value(version)')" "$(digest_of layout12)"
  equal "$(list "$images" --filter='package~web/f' --format='value(version)')" "$(digest_of layout13)"
}
lists_as_json() {
  local said digest size
  read -r digest size <layout13.digests
  said=$(list "$images" --include-tags --format=json)
  matches "$said" 'length == 9 and (.[] | select(.package == $image) |
      .version == $digest and .tags == ["1"] and .metadata.imageSizeBytes == $size
      and .metadata.mediaType == "application/vnd.oci.image.manifest.v1+json"
      and (.metadata.buildTime | startswith("2013-03-04T05:06:07"))
      and .metadata.name == $name)' \
    --arg image "$images/team/web/front" --arg digest "$digest" --arg size "$size" \
    --arg name "projects/$project/locations/us-west1/repositories/images/dockerImages/team%2Fweb%2Ffront@$digest"
}

describe() { gcloud artifacts docker images describe "$@"; }
# described NAME IMAGE LAYOUT [FLAG…]: NAME is this image, of which nothing more is known.
described() {
  local said
  said=$(describe "$1" --format=json "${@:4}")
  matches "$said" '. == {image_summary: {digest: $digest, fully_qualified_digest: "\($image)@\($digest)",
      registry: $host, repository: "images", slsa_build_level: "unknown"}}' \
    --arg digest "$(digest_of "$3")" --arg image "$2" --arg host "$host"
}
describes_by_tag() { described "$images/team/web/front:1" "$images/team/web/front" layout13; }
describes_by_digest() { described "$images/app@$(digest_of layout10)" "$images/app" layout10; }
describes_latest() { described "$images/app" "$images/app" layout12; }
describes_index() { described "$images/multi:1" "$images/multi" layout17; }
describes_nothing() {
  says "Image not found." describe "$images/app:none"
  says "Image not found." describe "$images/team-two/app@$(digest_of layout10)"
}
# There is nothing that looks into images, and no way out of here: what gcloud asks it asks this registry.
lists_with_occurrences() {
  local said
  said=$(list "$images" --show-occurrences --include-tags --format=json)
  matches "$said" 'length == 9 and (map(select(.tags == ["1.0", "moving"])) | length == 1)
      and all(has("vuln_counts") or has("DISCOVERY") | not)'
  equal "$(list "$images" --show-occurrences --show-occurrences-from=1 --format='value(version)')" \
    "$(digest_of layout12)"
  equal "$(list "$images/app" --occurrence-filter='kind="VULNERABILITY"' --format='value(version)' | wc -l)" 3
  may_not containeranalysis.occurrences.list as reader list "$images/app" --show-occurrences
}
describes_with_metadata() {
  described "$images/app" "$images/app" layout12 --show-all-metadata
  described "$images/app" "$images/app" layout12 --show-package-vulnerability
}
describes_with_some_metadata() {
  described "$images/app@$(digest_of layout10)" "$images/app" layout10 --show-provenance --show-sbom-references \
    --show-build-details --show-deployment --show-image-basis
  described "$images/multi:1" "$images/multi" layout17 --metadata-filter='kind="BUILD"'
}
scans_are_not_served() {
  local place=projects/$project/locations/us
  says NOT_FOUND gcloud artifacts docker images get-operation "$place/operations/none"
  says NOT_FOUND gcloud artifacts docker images list-vulnerabilities "$place/scans/none"
}

tags_list() { gcloud artifacts docker tags list "$@"; }
# tag_rows LAYOUT IMAGE TAG…
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
lists_tags() { same_table "$(tags_list "$images")" "$(all_tags)"; }
lists_tags_of_image() {
  same_table "$(tags_list "$images/team/web/back")" "$(echo "TAG IMAGE DIGEST" && tag_rows layout14 team/web/back 1)"
}
lists_tags_in_pages() {
  same_table "$(tags_list "$images/app" --page-size=2)" "$(echo "TAG IMAGE DIGEST" && tags_of_app)"
}
