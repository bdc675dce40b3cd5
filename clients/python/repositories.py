"""Repositories, locations, operations, and the permissions of accounts."""
import datetime

from google.api_core.exceptions import (
    Aborted, AlreadyExists, InvalidArgument, NotFound, PermissionDenied, Unauthenticated,
)
from google.auth.credentials import AnonymousCredentials
from google.iam.v1 import policy_pb2
from google.oauth2.credentials import Credentials

from checks import check, expect_equal
from registry import Image
from world import EMPTY, LOCATION, OPERATION, PARENT, PROJECT, every_page, finished, names

NO_NAME = (
    "Names may only contain lowercase letters, numbers, and hyphens, and must begin with a letter and end with a "
    "letter or number."
)


@check("repositories: created as asked, and read")
def made(world):
    Repository = world.library.Repository
    day = datetime.timedelta(days=1)
    asked = {
        "description": "Größe: 1", "labels": {"team": "platform", "stage": "test"},
        "docker_config": {"immutable_tags": True}, "cleanup_policy_dry_run": True,
        "cleanup_policies": {
            "old": {
                "id": "old", "action": "DELETE",
                "condition": {"tag_state": "UNTAGGED", "older_than": day, "package_name_prefixes": ["a/"]},
            },
            "keep": {"id": "keep", "action": "KEEP", "most_recent_versions": {"keep_count": 5}},
        },
    }
    repository = world.repository("made", **asked)
    shown = world.owner.get_repository(name=repository.name)
    expect_equal(shown, repository.made)
    expect_equal((shown.format_, shown.mode), (Repository.Format.DOCKER, Repository.Mode.STANDARD_REPOSITORY))
    expect_equal((shown.description, dict(shown.labels)), (asked["description"], asked["labels"]))
    expect_equal((shown.docker_config.immutable_tags, shown.cleanup_policy_dry_run), (True, True))
    expect_equal(Repository(cleanup_policies=shown.cleanup_policies), Repository(cleanup_policies=asked["cleanup_policies"]))
    expect_equal(shown.registry_uri.split("/")[1:], repository.path.split("/"))
    assert shown.registry_uri.startswith(f"{LOCATION}-docker."), shown.registry_uri
    assert shown.create_time.timestamp() > 0


@check("repositories: every repository once, in pages of 1, 2 and 1000, and by name")
def pages(world):
    own = sorted(world.repository(f"listed-{n}").name for n in range(4))
    for size in 1, 2, 1000:
        found = names(every_page(world.owner.list_repositories, size, parent=PARENT))
        expect_equal(len(found), len(set(found)))
        expect_equal(sorted(name for name in found if name in own), own)
        wanted = f'name="{PARENT}/repositories/listed-*"'
        found = names(every_page(world.owner.list_repositories, size, parent=PARENT, filter=wanted))
        expect_equal(sorted(name for name in found if name.endswith(world.transport)), own)


@check("repositories: changed, no further than the mask goes")
def changed(world):
    repository = world.repository("changed", description="before", labels={"a": "b"})
    asked = {"name": repository.name, "description": "after", "labels": {"c": "d"}}
    shown = world.owner.update_repository(repository=asked, update_mask={"paths": ["description"]})
    expect_equal((shown.description, dict(shown.labels)), ("after", {"a": "b"}))
    expect_equal(world.owner.get_repository(name=repository.name), shown)
    asked = {"name": repository.name, "labels": {"c": "d"}}
    shown = world.owner.update_repository(repository=asked, update_mask={"paths": ["labels", "description"]})
    expect_equal((shown.description, dict(shown.labels)), ("", {"c": "d"}))
    assert shown.update_time >= shown.create_time


@check("repositories: deleted by an operation, with everything in it")
def deleted(world):
    repository = world.repository("deleted")
    repository.push("a/b", Image(1), "v1")
    finished(world.owner.delete_repository(name=repository.name))
    world.expect_refused(NotFound, "", world.owner.get_repository, name=repository.name)
    world.expect_refused(NotFound, "", world.owner.delete_repository, name=repository.name)
    world.expect_refused(NotFound, "", world.owner.list_packages, parent=repository.name)
    expect_equal(repository.pulled("a/b", "v1"), None)
    expect_equal(list(world.owner.list_packages(parent=world.repository("deleted").name)), [])


@check("repositories: invalid and missing ones are refused")
def refused(world):
    repository = world.repository("taken")
    docker = {"format_": "DOCKER"}

    def create(name, **fields):
        return world.owner.create_repository(parent=PARENT, repository_id=name, repository={**docker, **fields})

    world.expect_refused(AlreadyExists, "", create, world.id("taken"))
    for name in "Upper", "under_score", "ends-", "1st":
        world.expect_refused(InvalidArgument, NO_NAME, create, name)
    world.expect_refused(InvalidArgument, "", create, world.id("labels"), labels={"Upper": "case"})
    nowhere = {"repository": {"name": repository.name + "-none"}, "update_mask": {"paths": ["description"]}}
    world.expect_refused(NotFound, "", world.owner.update_repository, request=nowhere)
    world.expect_refused(NotFound, "", world.owner.get_repository, name=repository.name + "-none")


@check("operations: read by name, also those of deletes")
def operations(world):
    created = world.owner.create_repository(
        parent=PARENT, repository={"format_": "DOCKER"}, repository_id=world.id("operations")
    )
    made = finished(created)
    deleted = world.owner.delete_repository(name=made.name)
    finished(deleted)
    repository = "type.googleapis.com/google.devtools.artifactregistry.v1.Repository"
    for begun, answer in (created, repository), (deleted, EMPTY):
        name = begun.operation.name
        assert name.startswith(f"{PARENT}/operations/"), name
        shown = world.owner.get_operation({"name": name})
        expect_equal((shown.name, shown.done, shown.response.type_url), (name, True, answer))
        expect_equal(shown.metadata.type_url, OPERATION)
    unpacked = type(made).pb(type(made)())
    assert world.owner.get_operation({"name": created.operation.name}).response.Unpack(unpacked)
    expect_equal(unpacked.name, made.name)
    world.expect_refused(NotFound, "", world.owner.get_operation, {"name": f"{PARENT}/operations/none"})


@check("locations: listed, and read")
def locations(world):
    listed = world.owner.list_locations({"name": f"projects/{PROJECT}"}).locations
    found = {location.location_id: location.name for location in listed}
    for location in LOCATION, "us", "europe", "asia":
        expect_equal(found[location], f"projects/{PROJECT}/locations/{location}")
    expect_equal(world.owner.get_location({"name": PARENT}).location_id, LOCATION)


@check("policies: set, read and tested; an old one is refused")
def policies(world):
    resource = world.repository("policies").name
    role, member = "roles/artifactregistry.reader", world.server.member("reader")
    before = world.owner.get_iam_policy(request={"resource": resource})
    policy = policy_pb2.Policy(etag=before.etag, bindings=[policy_pb2.Binding(role=role, members=[member])])
    after = world.owner.set_iam_policy(request={"resource": resource, "policy": policy})
    expect_equal([(binding.role, list(binding.members)) for binding in after.bindings], [(role, [member])])
    request = {"resource": resource, "options": {"requested_policy_version": 3}}
    expect_equal(world.owner.get_iam_policy(request=request).bindings, after.bindings)
    assert after.etag != before.etag
    # The policy has the etag of before.
    stale = {"resource": resource, "policy": policy}
    world.expect_refused(Aborted, "", world.owner.set_iam_policy, request=stale)
    wanted = ["artifactregistry.repositories.downloadArtifacts", "artifactregistry.tags.delete"]
    for client, expected in (world.reader, wanted[:1]), (world.owner, wanted):
        answer = client.test_iam_permissions(request={"resource": resource, "permissions": wanted})
        expect_equal(sorted(answer.permissions), sorted(expected))


# --- permissions of accounts

def reads(repository, pushed):
    """Returns the calls that a reader may make, as (method, permission, request)."""
    return [
        ("get_repository", "repositories.get", {"name": repository.name}),
        ("list_docker_images", "dockerimages.list", {"parent": repository.name}),
        ("get_docker_image", "dockerimages.get", {"name": repository.image("a/b", pushed)}),
        ("list_packages", "packages.list", {"parent": repository.name}),
        ("get_package", "packages.get", {"name": repository.package("a/b")}),
        ("list_versions", "versions.list", {"parent": repository.package("a/b")}),
        ("get_version", "versions.get", {"name": repository.version("a/b", pushed)}),
        ("list_tags", "tags.list", {"parent": repository.package("a/b")}),
        ("get_tag", "tags.get", {"name": repository.tag("a/b", "v1")}),
    ]


def writes(repository, pushed):
    """Returns the calls that a writer may make."""
    package, version = repository.package("a/b"), repository.version("a/b", pushed)
    tag = {"name": repository.tag("a/b", "v2"), "version": version}
    return [
        ("create_tag", "tags.create", {"parent": package, "tag_id": "v2", "tag": {"version": version}}),
        ("update_tag", "tags.update", {"tag": tag, "update_mask": {"paths": ["version"]}}),
    ]


def deletes(repository, pushed):
    """Returns the calls that an administrator of the repository may make."""
    package, version = repository.package("a/b"), repository.version("a/b", pushed)
    return [
        ("delete_tag", "tags.delete", {"name": repository.tag("a/b", "v2")}),
        ("batch_delete_versions", "versions.delete", {"parent": package, "names": [version], "validate_only": True}),
        ("delete_version", "versions.delete", {"name": version, "force": True}),
        ("delete_package", "packages.delete", {"name": package}),
    ]


def administrates(repository, _):
    """Returns the calls that only an administrator of the project may make."""
    changed = {"repository": {"name": repository.name}, "update_mask": {"paths": ["description"]}}
    return [
        ("update_repository", "repositories.update", changed),
        ("delete_repository", "repositories.delete", {"name": repository.name}),
        ("get_iam_policy", "repositories.getIamPolicy", {"resource": repository.name}),
        ("set_iam_policy", "repositories.setIamPolicy", {"resource": repository.name, "policy": {}}),
    ]


CALL_KINDS = [reads, writes, deletes, administrates]


def permission_check(account, may):
    """Returns a check: the first `may` kinds of calls succeed as the account, and the others are denied."""

    def check_calls(world):
        repository = world.repository(f"as-{account.lower()}")
        pushed = repository.push("a/b", Image(1), "v1")
        repository.push("a/b", Image(2), "v3")
        if may:
            repository.grant(account)
        client = getattr(world, account)
        for kind in CALL_KINDS[may:]:
            for method, permission, request in kind(repository, pushed):
                expect_denied(world, repository, permission, getattr(client, method), request)
        for kind in CALL_KINDS[:may]:
            for method, _, request in kind(repository, pushed):
                answer = getattr(client, method)(request=request)
                if hasattr(answer, "operation") and not request.get("validate_only"):
                    finished(answer)

    return check_calls


def expect_denied(world, repository, permission, call, request):
    permission = f"artifactregistry.{permission}"
    error = world.expect_refused(PermissionDenied, permission, call, request=request)
    expect_equal((error.reason, error.domain), ("IAM_PERMISSION_DENIED", "artifactregistry.googleapis.com"))
    expect_equal(error.metadata["permission"], permission)
    assert error.metadata["resource"].endswith(repository.name), error.metadata


check("permissions: a reader reads")(permission_check("reader", 1))
check("permissions: a writer sets tags, and deletes nothing")(permission_check("writer", 2))
check("permissions: repoAdmin deletes, and leaves the repository alone")(permission_check("repoAdmin", 3))
check("permissions: an account without a role may do nothing")(permission_check("nobody", 0))


@check("permissions: the answer does not tell whether a resource exists")
def nothing_leaks(world):
    repository = world.repository("leaks")
    pushed = repository.push("a/b", Image(1), "v1")
    for method, _, request in reads(repository, pushed) + deletes(repository, pushed):
        absent = {
            field: value.replace("/a%2Fb", "/none").replace("leaks", "nowhere") if isinstance(value, str) else value
            for field, value in request.items() if field != "names"
        }
        world.expect_refused(PermissionDenied, "", getattr(world.nobody, method), request=absent)


class FixedToken(Credentials):
    """A token that the library does not replace after a refusal."""

    def refresh(self, request):
        pass


class NoToken(AnonymousCredentials):
    """No token, which the library does not replace after a refusal."""

    def refresh(self, request):
        pass


@check("permissions: callers that are not signed in are refused")
def not_signed_in(world):
    name = world.repository("signed-in").name
    world.expect_refused(Unauthenticated, "", world.client(FixedToken("nonsense")).get_repository, name=name)
    world.expect_refused(Unauthenticated, "", world.client(NoToken()).get_repository, name=name)
