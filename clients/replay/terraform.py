"""Terraform's requests, and gcloud's of what Terraform reads afterwards.

A row: what it is about, whose request it is, method, path (below the location unless it begins with /v1/), body,
status, what is expected. The queries are as Go writes them: sorted, a space as +, a comma as %2C.
"""
from replay_tables import TIME, Absent, Matches, Sent

TYPE = "type.googleapis.com/google.devtools.artifactregistry.v1."
REPO = "repositories/terraform"
OPERATION = Matches(r"projects/my-project/locations/us-west1/operations/[^/]+")

POLICIES = {
    "keep": {
        "action": "KEEP", "id": "keep", "mostRecentVersions": {"keepCount": 5, "packageNamePrefixes": ["web", "a/b"]},
    },
    "old": {
        "action": "DELETE", "id": "old",
        "condition": {
            "newerThan": "86400s", "olderThan": "2592000s", "packageNamePrefixes": ["a/b"], "tagPrefixes": ["v", "rc"],
            "tagState": "TAGGED", "versionNamePrefixes": ["sha256:0"],
        },
    },
    "untagged": {"action": "DELETE", "condition": {"olderThan": "86400s", "tagState": "UNTAGGED"}, "id": "untagged"},
    "any": {"action": "DELETE", "condition": {"olderThan": "86400s", "tagState": "ANY"}, "id": "any"},
}
CREATED = {
    "cleanupPolicies": POLICIES, "cleanupPolicyDryRun": True, "description": "Größe <1> & \"zwei\"",
    "dockerConfig": {"immutableTags": True}, "format": "DOCKER",
    "labels": {"goog-terraform-provisioned": "true", "team": "platform"}, "mode": "STANDARD_REPOSITORY",
}


def without(body, *fields):
    return {field: value for field, value in body.items() if field not in fields}


def patched(body):
    """What a PATCH has: what may change, and is set."""
    return without(body, "format", "mode")


RENAMED = {**CREATED, "description": "changed", "labels": {"goog-terraform-provisioned": "true"}}
MUTABLE = without(RENAMED, "dockerConfig")
ONE_POLICY = {**without(MUTABLE, "cleanupPolicyDryRun"), "cleanupPolicies": {"any": POLICIES["any"]}}
NO_POLICY = without(ONE_POLICY, "cleanupPolicies")
BARE = without(NO_POLICY, "description", "labels")
SCANNED = {**BARE, "vulnerabilityScanningConfig": {"enablementConfig": "DISABLED"}}

# gcloud copies these words from the user's file.
GCLOUDS = {
    "del-old": {
        "action": "Delete", "id": "del-old",
        "condition": {"newerThan": "86400.0s", "olderThan": "2592000.0s", "tagState": "any", "tagPrefixes": ["v"]},
    },
    "keep": {"action": "Keep", "id": "keep", "mostRecentVersions": {"keepCount": 5}},
}
READ_AFTER_GCLOUD = {
    **BARE, "cleanupPolicyDryRun": True,
    "cleanupPolicies": {
        "del-old": {
            "action": "DELETE", "id": "del-old",
            "condition": {"newerThan": "86400s", "olderThan": "2592000s", "tagState": "ANY", "tagPrefixes": ["v"]},
        },
        "keep": {"action": "KEEP", "id": "keep", "mostRecentVersions": {"keepCount": 5}},
    },
}


def change(what, mask, body):
    """A PATCH, and the read that follows."""
    path = f"{REPO}?alt=json&updateMask={mask}"
    return [
        (f"terraform: {what}", "terraform", "PATCH", path, patched(body), 200, Sent(body)),
        (f"terraform: {what}, and read", "terraform", "GET", f"{REPO}?alt=json", None, 200, Sent(body)),
    ]


def refused(code, status):
    return {"error": {"code": code, "status": status, "message": Matches("(?s).+")}}


def operation(answer):
    metadata = {"@type": TYPE + "OperationMetadata"}
    return {"name": OPERATION, "done": True, "metadata": metadata, "error": Absent, "response": answer}


MADE = operation({"@type": TYPE + "Repository", "name": "{base}/" + REPO})
GONE = operation({"@type": "type.googleapis.com/google.protobuf.Empty", "value": Absent})
REGISTRY = Matches("us-west1-docker.[^/]+/my-project/terraform")
IDENTITY = {"name": "{base}/" + REPO, "createTime": TIME, "updateTime": TIME, "registryUri": REGISTRY}
READERS = [{"members": ["allUsers"], "role": "roles/artifactregistry.reader"}]
GRANTED = {"bindings": READERS, "etag": Matches(".+")}
POLICY = {"policy": {"bindings": READERS, "etag": "{etag}", "version": 3}}
CREATE = "repositories?alt=json&repository_id=terraform"
BARE_BODY = {"format": "DOCKER", "mode": "STANDARD_REPOSITORY"}

# What other modes have. Where they lead to is not looked at.
HUB = {
    "description": "of Docker Hub", "format": "DOCKER", "mode": "REMOTE_REPOSITORY",
    "remoteRepositoryConfig": {"description": "Hub", "dockerRepository": {"publicRepository": "DOCKER_HUB"}},
}
ELSEWHERE = {
    "format": "DOCKER", "mode": "REMOTE_REPOSITORY",
    "remoteRepositoryConfig": {
        "commonRepository": {"uri": "https://registry.example.com"}, "disableUpstreamValidation": True,
        "upstreamCredentials": {
            "usernamePasswordCredentials": {
                "passwordSecretVersion": "projects/my-project/secrets/registry/versions/1", "username": "berth",
            },
        },
    },
}
VIRTUAL = {
    "format": "DOCKER", "mode": "VIRTUAL_REPOSITORY",
    "virtualRepositoryConfig": {
        "upstreamPolicies": [
            {"id": "second", "priority": 10, "repository": "{base}/repositories/hub"},
            {"id": "first", "priority": 20, "repository": "{base}/" + REPO},
        ],
    },
}


def made(name, body):
    """A repository of another mode, and the read that follows."""
    create = f"repositories?alt=json&repository_id={name}"
    return [
        (f"terraform: create {name}", "terraform", "POST", create, body, 200, {"name": OPERATION}),
        (f"terraform: read {name}", "terraform", "GET", f"repositories/{name}?alt=json", None, 200, Sent(body)),
    ]


REPOSITORY = [
    ("terraform: create", "terraform", "POST", CREATE, CREATED, 200, {"name": OPERATION}),
    ("terraform: wait for it", "terraform", "GET", "/v1/{name}?alt=json", None, 200, MADE),
    ("terraform: read", "terraform", "GET", f"{REPO}?alt=json", None, 200, Sent(CREATED)),
    ("terraform: read, what the server adds", "terraform", "GET", f"{REPO}?alt=json", None, 200, IDENTITY),
    ("terraform: create again", "terraform", "POST", CREATE, CREATED, 409, refused(409, "ALREADY_EXISTS")),
    *change("a description and labels change", "description%2Clabels", RENAMED),
    *change("a block is taken away", "dockerConfig", MUTABLE),
    *change("policies change, the dry run ends", "cleanupPolicies%2CcleanupPolicyDryRun", ONE_POLICY),
    *change("policies are taken away", "cleanupPolicies", NO_POLICY),
    *change("a description and labels are taken away", "description%2Clabels", BARE),
    *change("scanning is switched off", "vulnerabilityScanningConfig", SCANNED),
    (
        "gcloud: cleanup policies, in the user's words", "gcloud", "PATCH",
        f"{REPO}?alt=json&updateMask=cleanupPolicies%2CcleanupPolicyDryRun",
        {"cleanupPolicies": GCLOUDS, "cleanupPolicyDryRun": True, "format": "DOCKER", "name": "{base}/" + REPO},
        200, Sent(READ_AFTER_GCLOUD),
    ),
    ("terraform: read what gcloud wrote", "terraform", "GET", f"{REPO}?alt=json", None, 200, Sent(READ_AFTER_GCLOUD)),
    ("terraform: read a policy", "terraform", "GET", f"{REPO}:getIamPolicy?alt=json", None, 200, {"bindings": Absent}),
    ("terraform: write a policy", "terraform", "POST", f"{REPO}:setIamPolicy?alt=json", POLICY, 200, GRANTED),
    ("terraform: read it again", "terraform", "GET", f"{REPO}:getIamPolicy?alt=json", None, 200, GRANTED),
    (
        "terraform: write a policy that changed meanwhile", "terraform", "POST", f"{REPO}:setIamPolicy?alt=json",
        {"policy": {"bindings": [], "etag": "bm90IGl0", "version": 3}}, 409, refused(409, "ABORTED"),
    ),
    ("terraform: delete", "terraform", "DELETE", f"{REPO}?alt=json", None, 200, {"name": OPERATION}),
    ("terraform: wait for the end", "terraform", "GET", "/v1/{name}?alt=json", None, 200, GONE),
    ("terraform: read what is gone", "terraform", "GET", f"{REPO}?alt=json", None, 404, refused(404, "NOT_FOUND")),
    ("terraform: delete what is gone", "terraform", "DELETE", f"{REPO}?alt=json", None, 404, refused(404, "NOT_FOUND")),
    ("terraform: create with nothing set", "terraform", "POST", CREATE, BARE_BODY, 200, {"name": OPERATION}),
    ("terraform: read what has nothing set", "terraform", "GET", f"{REPO}?alt=json", None, 200, Sent(BARE_BODY)),
    *made("hub", HUB), *made("elsewhere", ELSEWHERE), *made("virtual", VIRTUAL),
]


def image(name, digest, tags, size):
    return {
        "name": "{base}/repositories/data/dockerImages/" + name.replace("/", "%2F") + "@" + digest,
        "uri": Matches("[^/@]+/my-project/data/" + name + "@sha256:[0-9a-f]{64}"),
        # A number would be no size for Terraform.
        "tags": tags, "imageSizeBytes": size, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "uploadTime": TIME, "updateTime": TIME, "buildTime": TIME,
    }


FIRST = image("a/b", "{first}", ["v1"], "{first_size}")
SECOND = image("a/b", "{second}", ["v2"], "{second_size}")
PLAIN = image("plain", "{other}", ["v1"], "{other_size}")
NEWEST_FIRST = {"dockerImages": [PLAIN, SECOND, FIRST]}
ORDERED = "dockerImages?alt=json&orderBy=update_time+desc&pageSize=1000"
PACKAGE, OTHER_PACKAGE = "{base}/repositories/data/packages/a%2Fb", "{base}/repositories/data/packages/plain"
TAGS = [{"name": f"{PACKAGE}/tags/v1", "version": PACKAGE + "/versions/{first}"}]
VERSION = {"name": PACKAGE + "/versions/{first}", "createTime": TIME, "updateTime": TIME}
WITH_TAGS = {"versions": [{**VERSION, "relatedTags": TAGS}]}
# As a user writes it, of a package whose name is escaped in a resource's name.
BY_NAME = (
    "filter=name%3D%22projects%2Fmy-project%2Flocations%2Fus-west1%2Frepositories%2Fdata%2Fpackages%2Fa%252Fb"
    "%2Fversions%2F{first_escaped}%22"
)
VERSIONS = f"packages/a%2Fb/versions?alt=json&{BY_NAME}&view="
TWO = ORDERED.replace("1000", "2")
LAST_PAGE = {"dockerImages": [FIRST], "nextPageToken": Absent}


def look(what, path, expected, status=200):
    return (f"terraform: data, {what}", "terraform", "GET", f"repositories/data/{path}", None, status, expected)


DATA = [
    look("an image by its digest", "dockerImages/a%2Fb@{first}?alt=json", FIRST),
    look("an image of a name that is not nested", "dockerImages/plain@{other}?alt=json", PLAIN),
    look("an image that is not there", "dockerImages/a%2Fb@{other}?alt=json", refused(404, "NOT_FOUND"), 404),
    look("images, the newest first", ORDERED, {**NEWEST_FIRST, "nextPageToken": Absent}),
    look("images, with a space written otherwise", ORDERED.replace("+", "%20"), NEWEST_FIRST),
    look("a page of images", TWO, {"dockerImages": [PLAIN, SECOND], "nextPageToken": Matches("[\\w.~-]+")}),
    look("the page after it", TWO + "&pageToken={nextPageToken}", LAST_PAGE),
    look("packages", "packages?alt=json", {"packages": [{"name": PACKAGE}, {"name": OTHER_PACKAGE}]}),
    look("a package", "packages/a%2Fb?alt=json", {"name": PACKAGE, "createTime": TIME, "updateTime": TIME}),
    look("versions, by name", VERSIONS + "BASIC", {"versions": [{**VERSION, "relatedTags": Absent}]}),
    look("versions with tags, by name", VERSIONS + "FULL", WITH_TAGS),
    look("a version", "packages/a%2Fb/versions/{first}?alt=json&view=FULL", {**VERSION, "relatedTags": TAGS}),
    look("a tag", "packages/a%2Fb/tags/v1?alt=json", TAGS[0]),
    look("a tag that is not there", "packages/a%2Fb/tags/v3?alt=json", refused(404, "NOT_FOUND"), 404),
]
