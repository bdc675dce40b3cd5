"""Packages and versions: lists, descriptions, deletes."""
from google.api_core.exceptions import FailedPrecondition, InvalidArgument, NotFound
from google.cloud.artifactregistry_v1 import BatchDeleteVersionsMetadata, OperationMetadata, VersionView

from python_registry import BUILT, OCI_INDEX, OCI_MANIFEST, Image, Index, check, same
from python_world import PARENT, every_page, finished, names

IMAGES = ["api", "api-tools", "a/b", "a/b/c", "web"]


def with_images(world, name):
    repository = world.repository(name)
    for seed, image in enumerate(IMAGES):
        repository.push(image, Image(seed), "v1")
    return repository


@check("packages: every package once, in pages of 1, 2, 3 and 1000")
def package_pages(world):
    repository = with_images(world, "package-pages")
    expected = sorted(map(repository.package, IMAGES))
    for size in 1, 2, 3, 1000:
        same(sorted(names(every_page(world.owner.list_packages, size, parent=repository.name))), expected)


@check("packages: by name")
def package_filter(world):
    repository = with_images(world, "package-filter")
    prefix = f"{repository.name}/packages/"
    for pattern, expected in (
        (f"{prefix}api*", ["api", "api-tools"]),
        (f"{prefix}a%2Fb*", ["a/b", "a/b/c"]),
        (f"{prefix}a%2Fb", ["a/b"]),
        (f"{prefix}*", IMAGES),
        ("*tools", ["api-tools"]),
        (f"{prefix}none*", []),
    ):
        for size in 1, 1000:
            request = {"parent": repository.name, "filter": f'name="{pattern}"'}
            found = names(every_page(world.owner.list_packages, size, **request))
            same(sorted(found), sorted(map(repository.package, expected)))
    request = {"parent": repository.name, "filter": "password=x"}
    world.refused(InvalidArgument, "", world.owner.list_packages, request=request)


@check("packages: order_by name desc")
def package_order(world):
    repository = with_images(world, "package-order")
    request = {"parent": repository.name, "order_by": "name desc"}
    for size in 2, 1000:
        found = names(every_page(world.owner.list_packages, size, **request))
        same(found, sorted(map(repository.package, IMAGES), key=lambda name: name.replace("%2F", "/"), reverse=True))
    request["order_by"] = "password_hash"
    world.refused(InvalidArgument, "", world.owner.list_packages, request=request)


@check("packages: a package, of a name that is nested or not")
def one_package(world):
    repository = with_images(world, "package-one")
    for image in IMAGES:
        before = world.owner.get_package(name=repository.package(image))
        same(before.name, repository.package(image))
        assert 0 < before.create_time.timestamp() <= before.update_time.timestamp(), before
        repository.push(image, Image(100), "v2")
        after = world.owner.get_package(name=repository.package(image))
        same(after.create_time, before.create_time)
        assert after.update_time > before.update_time, after
    for name in repository.package("none"), repository.package("a"), f"{PARENT}/repositories/none/packages/a":
        world.refused(NotFound, "", world.owner.get_package, name=name)


@check("packages: deleted by an operation, with everything in it")
def delete_package(world):
    repository = with_images(world, "package-delete")
    repository.push("a/b", Image(50), "v2")
    operation = world.owner.delete_package(name=repository.package("a/b"))
    finished(operation)
    assert isinstance(operation.metadata, OperationMetadata), operation.metadata
    same((repository.pulled("a/b", "v1"), repository.pulled("a/b", Image(50).digest)), (None, None))
    world.refused(NotFound, "", world.owner.get_package, name=repository.package("a/b"))
    world.refused(NotFound, "", world.owner.delete_package, name=repository.package("a/b"))
    world.refused(NotFound, "", world.owner.list_versions, parent=repository.package("a/b"))
    kept = [image for image in IMAGES if image != "a/b"]
    same(sorted(names(world.owner.list_packages(parent=repository.name))), sorted(map(repository.package, kept)))
    same(repository.pulled("a/b/c", "v1"), Image(IMAGES.index("a/b/c")).digest)


@check("versions: every version once, in both views and pages of 1, 2, 3 and 1000")
def version_pages(world):
    repository = world.repository("version-pages")
    repository.push("a", Image(100), "v1")
    expected = sorted(repository.version("a/b", repository.push("a/b", Image(seed), "v1")) for seed in range(5))
    for view in VersionView.BASIC, VersionView.FULL:
        for size in 1, 2, 3, 1000:
            request = {"parent": repository.package("a/b"), "view": view}
            same(sorted(names(every_page(world.owner.list_versions, size, **request))), expected)


@check("versions: BASIC has no tags, FULL has, and both have metadata")
def views(world):
    repository = world.repository("version-views")
    pushed = repository.push("a/b", Image(1), "v1", "latest")
    name = repository.version("a/b", pushed)
    tags = sorted([(repository.tag("a/b", "v1"), name), (repository.tag("a/b", "latest"), name)])
    metadata = {
        "name": repository.image("a/b", pushed), "imageSizeBytes": str(pushed.size),
        "mediaType": OCI_MANIFEST, "buildTime": BUILT,
    }
    # One that is got has its tags also when nobody asks: gcloud takes them from there.
    for view, expected in (VersionView.BASIC, []), (VersionView.FULL, tags), (None, tags):
        request = {"view": view} if view else {}
        shown = [world.owner.get_version(request={"name": name, **request})]
        if view:
            shown += world.owner.list_versions(request={"parent": repository.package("a/b"), **request})
        for version in shown:
            same(version.name, name)
            same(sorted((tag.name, tag.version) for tag in version.related_tags), expected)
            same({field: version.metadata[field] for field in metadata}, metadata)
            assert 0 < version.create_time.timestamp() <= version.update_time.timestamp(), version


@check("versions: an index has a size of 0 in its metadata")
def index_metadata(world):
    repository = world.repository("version-index")
    pushed = repository.push("a", Index([repository.push("a", Image(1)).described()]), "multi")
    metadata = world.owner.get_version(name=repository.version("a", pushed)).metadata
    same((metadata["imageSizeBytes"], metadata["mediaType"], "buildTime" in metadata), ("0", OCI_INDEX, False))


@check("versions: order_by update_time desc, and by name")
def version_order(world):
    repository = world.repository("version-order")
    pushed = [repository.push("a/b", Image(seed), f"v{seed}") for seed in range(4)]
    parent = repository.package("a/b")
    tag = world.library.Tag(version=repository.version("a/b", pushed[0]))
    world.owner.create_tag(parent=parent, tag_id="again", tag=tag)
    expected = [repository.version("a/b", pushed[n]) for n in (0, 3, 2, 1)]
    for order_by in "update_time desc", "UPDATE_TIME desc":
        for size in 1, 3, 1000:
            request = {"parent": parent, "order_by": order_by}
            same(names(every_page(world.owner.list_versions, size, **request)), expected)
    request = {"parent": parent, "filter": f'name="{expected[1]}"'}
    same(names(world.owner.list_versions(request=request)), [expected[1]])
    for wrong in {"order_by": "password_hash"}, {"filter": "password=x"}:
        world.refused(InvalidArgument, "", world.owner.list_versions, request={"parent": parent, **wrong})


@check("versions: what is not there")
def missing_version(world):
    repository = world.repository("version-missing")
    pushed = repository.push("a", Image(1), "v1")
    for name in repository.version("a", Image(2)), repository.version("a/b", pushed):
        world.refused(NotFound, "", world.owner.get_version, name=name)
        world.refused(NotFound, "", world.owner.delete_version, name=name)


@check("versions: one that is tagged is deleted by force alone")
def delete_version(world):
    repository = world.repository("version-delete")
    tagged = repository.push("a/b", Image(1), "v1", "latest")
    untagged = repository.push("a/b", Image(2))
    name = repository.version("a/b", tagged)
    world.refused(FailedPrecondition, "tagged", world.owner.delete_version, name=name)
    same(repository.pulled("a/b", "v1"), tagged.digest)
    finished(world.owner.delete_version(name=repository.version("a/b", untagged)))
    same(repository.pulled("a/b", untagged.digest), None)
    operation = world.owner.delete_version(request={"name": name, "force": True})
    finished(operation)
    assert isinstance(operation.metadata, OperationMetadata), operation.metadata
    for reference in "v1", "latest", tagged.digest:
        same(repository.pulled("a/b", reference), None)
    world.refused(NotFound, "", world.owner.get_version, name=name)
    world.refused(NotFound, "", world.owner.get_tag, name=repository.tag("a/b", "v1"))


def batch(world, repository, versions, **more):
    """The operation of a batch that deletes versions of the image a/b."""
    request = {"parent": repository.package("a/b"), "names": versions, **more}
    return world.owner.batch_delete_versions(request=request)


@check("versions: several are deleted at once, or only looked at")
def batch_delete(world):
    repository = world.repository("version-batch")
    pushed = [repository.push("a/b", Image(seed)) for seed in range(3)]
    versions = [repository.version("a/b", image) for image in pushed]
    operation = batch(world, repository, versions[:2], validate_only=True)
    finished(operation)
    same(list(operation.metadata.failed_versions), [])
    same(sorted(names(world.owner.list_versions(parent=repository.package("a/b")))), sorted(versions))
    operation = batch(world, repository, versions[:2])
    finished(operation)
    assert isinstance(operation.metadata, BatchDeleteVersionsMetadata), operation.metadata
    same(list(operation.metadata.failed_versions), [])
    same(names(world.owner.list_versions(parent=repository.package("a/b"))), versions[2:])
    same([repository.pulled("a/b", image.digest) for image in pushed], [None, None, pushed[2].digest])


@check("versions: a batch names those that could not be deleted")
def batch_fails(world):
    repository = world.repository("version-fails")
    tagged, untagged = repository.push("a/b", Image(1), "v1"), repository.push("a/b", Image(2))
    versions = [repository.version("a/b", image) for image in (untagged, tagged)]
    for validate_only in True, False:
        operation = batch(world, repository, versions, validate_only=validate_only)
        error = operation.exception(timeout=30)
        assert error is not None or validate_only, "the operation did not raise"
        same(list(operation.metadata.failed_versions), [versions[1]])
    same(error.grpc_status_code.name, "FAILED_PRECONDITION")
    same(names(world.owner.list_versions(parent=repository.package("a/b"))), [versions[1]])
    same(repository.pulled("a/b", "v1"), tagged.digest)


@check("versions: a batch of nothing, or of another package")
def batch_refused(world):
    repository = world.repository("version-batches")
    repository.push("a/b", Image(1))
    other = repository.version("a", repository.push("a", Image(2)))
    for versions in [], [other], ["nonsense"]:
        world.refused(InvalidArgument, "", batch, world, repository, versions)
    same(repository.pulled("a", Image(2).digest), Image(2).digest)
