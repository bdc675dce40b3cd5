"""Requests of Terraform, and one of gcloud whose result Terraform reads afterwards.

A row: title, client, method, path (below the location unless it begins with /v1/), body, expected status, expected
answer. The queries are as Go writes them: sorted, a space as +, a comma as %2C.
"""
from tables import TIME, Absent, TextLike, AsSent

TYPE = "type.googleapis.com/google.devtools.artifactregistry.v1."
REPO = "repositories/terraform"
OPERATION = TextLike(r"projects/my-project/locations/us-west1/operations/[^/]+")

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


def patch_body(body):
    """Returns the fields of a PATCH: those that may change and are set."""
    return without(body, "format", "mode")


RENAMED = {**CREATED, "description": "changed", "labels": {"goog-terraform-provisioned": "true"}}
MUTABLE = without(RENAMED, "dockerConfig")
ONE_POLICY = {**without(MUTABLE, "cleanupPolicyDryRun"), "cleanupPolicies": {"any": POLICIES["any"]}}
NO_POLICY = without(ONE_POLICY, "cleanupPolicies")
BARE = without(NO_POLICY, "description", "labels")
SCANNED = {**BARE, "vulnerabilityScanningConfig": {"enablementConfig": "DISABLED"}}

# gcloud copies the words of the user's file into these fields.
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


def patch_and_read(title, mask, body):
    """Returns a PATCH and the read that follows."""
    path = f"{REPO}?alt=json&updateMask={mask}"
    return [
        (f"terraform: {title}", "terraform", "PATCH", path, patch_body(body), 200, AsSent(body)),
        (f"terraform: {title}, and read", "terraform", "GET", f"{REPO}?alt=json", None, 200, AsSent(body)),
    ]


def error_body(code, status):
    return {"error": {"code": code, "status": status, "message": TextLike("(?s).+")}}


def finished_operation(answer):
    metadata = {"@type": TYPE + "OperationMetadata"}
    return {"name": OPERATION, "done": True, "metadata": metadata, "error": Absent, "response": answer}


MADE = finished_operation({"@type": TYPE + "Repository", "name": "{base}/" + REPO})
GONE = finished_operation({"@type": "type.googleapis.com/google.protobuf.Empty", "value": Absent})
REGISTRY = TextLike("us-west1-docker.[^/]+/my-project/terraform")
IDENTITY = {"name": "{base}/" + REPO, "createTime": TIME, "updateTime": TIME, "registryUri": REGISTRY}
READERS = [{"members": ["allUsers"], "role": "roles/artifactregistry.reader"}]
GRANTED = {"bindings": READERS, "etag": TextLike(".+")}
POLICY = {"policy": {"bindings": READERS, "etag": "{etag}", "version": 3}}
CREATE = "repositories?alt=json&repository_id=terraform"
BARE_BODY = {"format": "DOCKER", "mode": "STANDARD_REPOSITORY"}

# Repositories of other modes. The server does not ask their upstreams.
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


def create_and_read(name, body):
    """Returns the creation of a repository of another mode, and the read that follows."""
    create = f"repositories?alt=json&repository_id={name}"
    return [
        (f"terraform: create {name}", "terraform", "POST", create, body, 200, {"name": OPERATION}),
        (f"terraform: read {name}", "terraform", "GET", f"repositories/{name}?alt=json", None, 200, AsSent(body)),
    ]


REPOSITORY = [
    ("terraform: create", "terraform", "POST", CREATE, CREATED, 200, {"name": OPERATION}),
    ("terraform: wait for the creation", "terraform", "GET", "/v1/{name}?alt=json", None, 200, MADE),
    ("terraform: read", "terraform", "GET", f"{REPO}?alt=json", None, 200, AsSent(CREATED)),
    ("terraform: read the fields that the server adds", "terraform", "GET", f"{REPO}?alt=json", None, 200, IDENTITY),
    ("terraform: create again", "terraform", "POST", CREATE, CREATED, 409, error_body(409, "ALREADY_EXISTS")),
    *patch_and_read("a description and labels change", "description%2Clabels", RENAMED),
    *patch_and_read("a block is taken away", "dockerConfig", MUTABLE),
    *patch_and_read("policies change, the dry run ends", "cleanupPolicies%2CcleanupPolicyDryRun", ONE_POLICY),
    *patch_and_read("policies are taken away", "cleanupPolicies", NO_POLICY),
    *patch_and_read("a description and labels are taken away", "description%2Clabels", BARE),
    *patch_and_read("scanning is switched off", "vulnerabilityScanningConfig", SCANNED),
    (
        "gcloud: cleanup policies, in the user's words", "gcloud", "PATCH",
        f"{REPO}?alt=json&updateMask=cleanupPolicies%2CcleanupPolicyDryRun",
        {"cleanupPolicies": GCLOUDS, "cleanupPolicyDryRun": True, "format": "DOCKER", "name": "{base}/" + REPO},
        200, AsSent(READ_AFTER_GCLOUD),
    ),
    ("terraform: read what gcloud wrote", "terraform", "GET", f"{REPO}?alt=json", None, 200, AsSent(READ_AFTER_GCLOUD)),
    ("terraform: read a policy", "terraform", "GET", f"{REPO}:getIamPolicy?alt=json", None, 200, {"bindings": Absent}),
    ("terraform: write a policy", "terraform", "POST", f"{REPO}:setIamPolicy?alt=json", POLICY, 200, GRANTED),
    ("terraform: read the written policy", "terraform", "GET", f"{REPO}:getIamPolicy?alt=json", None, 200, GRANTED),
    (
        "terraform: write a policy over a newer one", "terraform", "POST", f"{REPO}:setIamPolicy?alt=json",
        {"policy": {"bindings": [], "etag": "bm90IGl0", "version": 3}}, 409, error_body(409, "ABORTED"),
    ),
    ("terraform: delete", "terraform", "DELETE", f"{REPO}?alt=json", None, 200, {"name": OPERATION}),
    ("terraform: wait for the deletion", "terraform", "GET", "/v1/{name}?alt=json", None, 200, GONE),
    ("terraform: read a deleted repository", "terraform", "GET", f"{REPO}?alt=json", None, 404, error_body(404, "NOT_FOUND")),
    ("terraform: delete a deleted repository", "terraform", "DELETE", f"{REPO}?alt=json", None, 404, error_body(404, "NOT_FOUND")),
    ("terraform: create with nothing set", "terraform", "POST", CREATE, BARE_BODY, 200, {"name": OPERATION}),
    ("terraform: read a repository with nothing set", "terraform", "GET", f"{REPO}?alt=json", None, 200, AsSent(BARE_BODY)),
    *create_and_read("hub", HUB), *create_and_read("elsewhere", ELSEWHERE), *create_and_read("virtual", VIRTUAL),
]


def docker_image(name, digest, tags, size):
    return {
        "name": "{base}/repositories/data/dockerImages/" + name.replace("/", "%2F") + "@" + digest,
        "uri": TextLike("[^/@]+/my-project/data/" + name + "@sha256:[0-9a-f]{64}"),
        # Terraform takes text for the size, not a number.
        "tags": tags, "imageSizeBytes": size, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "uploadTime": TIME, "updateTime": TIME, "buildTime": TIME,
    }


FIRST = docker_image("a/b", "{first}", ["v1"], "{first_size}")
SECOND = docker_image("a/b", "{second}", ["v2"], "{second_size}")
PLAIN = docker_image("plain", "{other}", ["v1"], "{other_size}")
NEWEST_FIRST = {"dockerImages": [PLAIN, SECOND, FIRST]}
ORDERED = "dockerImages?alt=json&orderBy=update_time+desc&pageSize=1000"
PACKAGE, OTHER_PACKAGE = "{base}/repositories/data/packages/a%2Fb", "{base}/repositories/data/packages/plain"
TAGS = [{"name": f"{PACKAGE}/tags/v1", "version": PACKAGE + "/versions/{first}"}]
VERSION = {"name": PACKAGE + "/versions/{first}", "createTime": TIME, "updateTime": TIME}
WITH_TAGS = {"versions": [{**VERSION, "relatedTags": TAGS}]}
# A filter as a user writes it. The resource name has the escaped name of the package.
BY_NAME = (
    "filter=name%3D%22projects%2Fmy-project%2Flocations%2Fus-west1%2Frepositories%2Fdata%2Fpackages%2Fa%252Fb"
    "%2Fversions%2F{first_escaped}%22"
)
VERSIONS = f"packages/a%2Fb/versions?alt=json&{BY_NAME}&view="
TWO = ORDERED.replace("1000", "2")
LAST_PAGE = {"dockerImages": [FIRST], "nextPageToken": Absent}


def read_data(title, path, expected, status=200):
    return (f"terraform: data, {title}", "terraform", "GET", f"repositories/data/{path}", None, status, expected)


DATA = [
    read_data("an image by its digest", "dockerImages/a%2Fb@{first}?alt=json", FIRST),
    read_data("an image whose name is not nested", "dockerImages/plain@{other}?alt=json", PLAIN),
    read_data("an image that does not exist", "dockerImages/a%2Fb@{other}?alt=json", error_body(404, "NOT_FOUND"), 404),
    read_data("images, the newest first", ORDERED, {**NEWEST_FIRST, "nextPageToken": Absent}),
    read_data("images, with the space written as %20", ORDERED.replace("+", "%20"), NEWEST_FIRST),
    read_data("a page of images", TWO, {"dockerImages": [PLAIN, SECOND], "nextPageToken": TextLike("[\\w.~-]+")}),
    read_data("the next page of images", TWO + "&pageToken={nextPageToken}", LAST_PAGE),
    read_data("packages", "packages?alt=json", {"packages": [{"name": PACKAGE}, {"name": OTHER_PACKAGE}]}),
    read_data("a package", "packages/a%2Fb?alt=json", {"name": PACKAGE, "createTime": TIME, "updateTime": TIME}),
    read_data("versions, by name", VERSIONS + "BASIC", {"versions": [{**VERSION, "relatedTags": Absent}]}),
    read_data("versions with tags, by name", VERSIONS + "FULL", WITH_TAGS),
    read_data("a version", "packages/a%2Fb/versions/{first}?alt=json&view=FULL", {**VERSION, "relatedTags": TAGS}),
    read_data("a tag", "packages/a%2Fb/tags/v1?alt=json", TAGS[0]),
    read_data("a tag that does not exist", "packages/a%2Fb/tags/v3?alt=json", error_body(404, "NOT_FOUND"), 404),
]
