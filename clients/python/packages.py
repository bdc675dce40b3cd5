"""Packages and versions: lists, descriptions, deletes."""
from google.api_core.exceptions import FailedPrecondition, InvalidArgument, NotFound
from google.cloud.artifactregistry_v1 import BatchDeleteVersionsMetadata, OperationMetadata, VersionView

from checks import check, expect_equal
from registry import BUILT, OCI_INDEX, OCI_MANIFEST, Image, Index
from world import PARENT, every_page, finished, names

IMAGES = ["api", "api-tools", "a/b", "a/b/c", "web"]


def repository_with_images(world, name):
    repository = world.repository(name)
    for seed, image in enumerate(IMAGES):
        repository.push(image, Image(seed), "v1")
    return repository


@check("packages: every package once, in pages of 1, 2, 3 and 1000")
def package_pages(world):
    repository = repository_with_images(world, "package-pages")
    expected = sorted(map(repository.package, IMAGES))
    for size in 1, 2, 3, 1000:
        expect_equal(sorted(names(every_page(world.owner.list_packages, size, parent=repository.name))), expected)


@check("packages: filtered by name")
def package_filter(world):
    repository = repository_with_images(world, "package-filter")
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
            expect_equal(sorted(found), sorted(map(repository.package, expected)))
    request = {"parent": repository.name, "filter": "password=x"}
    world.expect_refused(InvalidArgument, "", world.owner.list_packages, request=request)


@check("packages: order_by name desc")
def package_order(world):
    repository = repository_with_images(world, "package-order")
    request = {"parent": repository.name, "order_by": "name desc"}
    for size in 2, 1000:
        found = names(every_page(world.owner.list_packages, size, **request))
        expect_equal(found, sorted(map(repository.package, IMAGES), key=lambda name: name.replace("%2F", "/"), reverse=True))
    request["order_by"] = "password_hash"
    world.expect_refused(InvalidArgument, "", world.owner.list_packages, request=request)


@check("packages: one package, whose name is nested or not")
def one_package(world):
    repository = repository_with_images(world, "package-one")
    for image in IMAGES:
        before = world.owner.get_package(name=repository.package(image))
        expect_equal(before.name, repository.package(image))
        assert 0 < before.create_time.timestamp() <= before.update_time.timestamp(), before
        repository.push(image, Image(100), "v2")
        after = world.owner.get_package(name=repository.package(image))
        expect_equal(after.create_time, before.create_time)
        assert after.update_time > before.update_time, after
    for name in repository.package("none"), repository.package("a"), f"{PARENT}/repositories/none/packages/a":
        world.expect_refused(NotFound, "", world.owner.get_package, name=name)


@check("packages: deleted by an operation, with everything in it")
def delete_package(world):
    repository = repository_with_images(world, "package-delete")
    repository.push("a/b", Image(50), "v2")
    operation = world.owner.delete_package(name=repository.package("a/b"))
    finished(operation)
    assert isinstance(operation.metadata, OperationMetadata), operation.metadata
    expect_equal((repository.pulled("a/b", "v1"), repository.pulled("a/b", Image(50).digest)), (None, None))
    world.expect_refused(NotFound, "", world.owner.get_package, name=repository.package("a/b"))
    world.expect_refused(NotFound, "", world.owner.delete_package, name=repository.package("a/b"))
    world.expect_refused(NotFound, "", world.owner.list_versions, parent=repository.package("a/b"))
    kept = [image for image in IMAGES if image != "a/b"]
    expect_equal(sorted(names(world.owner.list_packages(parent=repository.name))), sorted(map(repository.package, kept)))
    expect_equal(repository.pulled("a/b/c", "v1"), Image(IMAGES.index("a/b/c")).digest)


@check("versions: every version once, in both views and pages of 1, 2, 3 and 1000")
def version_pages(world):
    repository = world.repository("version-pages")
    repository.push("a", Image(100), "v1")
    expected = sorted(repository.version("a/b", repository.push("a/b", Image(seed), "v1")) for seed in range(5))
    for view in VersionView.BASIC, VersionView.FULL:
        for size in 1, 2, 3, 1000:
            request = {"parent": repository.package("a/b"), "view": view}
            expect_equal(sorted(names(every_page(world.owner.list_versions, size, **request))), expected)


@check("versions: the view BASIC has no tags, FULL has tags, and both have metadata")
def views(world):
    repository = world.repository("version-views")
    pushed = repository.push("a/b", Image(1), "v1", "latest")
    name = repository.version("a/b", pushed)
    tags = sorted([(repository.tag("a/b", "v1"), name), (repository.tag("a/b", "latest"), name)])
    metadata = {
        "name": repository.image("a/b", pushed), "imageSizeBytes": str(pushed.size),
        "mediaType": OCI_MANIFEST, "buildTime": BUILT,
    }
    # GetVersion shows tags without a view too, because gcloud reads them there.
    for view, expected in (VersionView.BASIC, []), (VersionView.FULL, tags), (None, tags):
        request = {"view": view} if view else {}
        shown = [world.owner.get_version(request={"name": name, **request})]
        if view:
            shown += world.owner.list_versions(request={"parent": repository.package("a/b"), **request})
        for version in shown:
            expect_equal(version.name, name)
            expect_equal(sorted((tag.name, tag.version) for tag in version.related_tags), expected)
            expect_equal({field: version.metadata[field] for field in metadata}, metadata)
            assert 0 < version.create_time.timestamp() <= version.update_time.timestamp(), version


@check("versions: an index has a size of 0 in its metadata")
def index_metadata(world):
    repository = world.repository("version-index")
    pushed = repository.push("a", Index([repository.push("a", Image(1)).described()]), "multi")
    metadata = world.owner.get_version(name=repository.version("a", pushed)).metadata
    expect_equal((metadata["imageSizeBytes"], metadata["mediaType"], "buildTime" in metadata), ("0", OCI_INDEX, False))


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
            expect_equal(names(every_page(world.owner.list_versions, size, **request)), expected)
    request = {"parent": parent, "filter": f'name="{expected[1]}"'}
    expect_equal(names(world.owner.list_versions(request=request)), [expected[1]])
    for wrong in {"order_by": "password_hash"}, {"filter": "password=x"}:
        world.expect_refused(InvalidArgument, "", world.owner.list_versions, request={"parent": parent, **wrong})


@check("versions: a missing version is not found")
def missing_version(world):
    repository = world.repository("version-missing")
    pushed = repository.push("a", Image(1), "v1")
    for name in repository.version("a", Image(2)), repository.version("a/b", pushed):
        world.expect_refused(NotFound, "", world.owner.get_version, name=name)
        world.expect_refused(NotFound, "", world.owner.delete_version, name=name)


@check("versions: a tagged version is deleted only by force")
def delete_version(world):
    repository = world.repository("version-delete")
    tagged = repository.push("a/b", Image(1), "v1", "latest")
    untagged = repository.push("a/b", Image(2))
    name = repository.version("a/b", tagged)
    world.expect_refused(FailedPrecondition, "tagged", world.owner.delete_version, name=name)
    expect_equal(repository.pulled("a/b", "v1"), tagged.digest)
    finished(world.owner.delete_version(name=repository.version("a/b", untagged)))
    expect_equal(repository.pulled("a/b", untagged.digest), None)
    operation = world.owner.delete_version(request={"name": name, "force": True})
    finished(operation)
    assert isinstance(operation.metadata, OperationMetadata), operation.metadata
    for reference in "v1", "latest", tagged.digest:
        expect_equal(repository.pulled("a/b", reference), None)
    world.expect_refused(NotFound, "", world.owner.get_version, name=name)
    world.expect_refused(NotFound, "", world.owner.get_tag, name=repository.tag("a/b", "v1"))


def delete_batch(world, repository, versions, **more):
    """Starts a batch that deletes versions of the image a/b, and returns its operation."""
    request = {"parent": repository.package("a/b"), "names": versions, **more}
    return world.owner.batch_delete_versions(request=request)


@check("versions: a batch deletes several versions, or only validates")
def batch_delete(world):
    repository = world.repository("version-batch")
    pushed = [repository.push("a/b", Image(seed)) for seed in range(3)]
    versions = [repository.version("a/b", image) for image in pushed]
    operation = delete_batch(world, repository, versions[:2], validate_only=True)
    finished(operation)
    expect_equal(list(operation.metadata.failed_versions), [])
    expect_equal(sorted(names(world.owner.list_versions(parent=repository.package("a/b")))), sorted(versions))
    operation = delete_batch(world, repository, versions[:2])
    finished(operation)
    assert isinstance(operation.metadata, BatchDeleteVersionsMetadata), operation.metadata
    expect_equal(list(operation.metadata.failed_versions), [])
    expect_equal(names(world.owner.list_versions(parent=repository.package("a/b"))), versions[2:])
    expect_equal([repository.pulled("a/b", image.digest) for image in pushed], [None, None, pushed[2].digest])


@check("versions: a batch names the versions that it could not delete")
def batch_fails(world):
    repository = world.repository("version-fails")
    tagged, untagged = repository.push("a/b", Image(1), "v1"), repository.push("a/b", Image(2))
    versions = [repository.version("a/b", image) for image in (untagged, tagged)]
    for validate_only in True, False:
        operation = delete_batch(world, repository, versions, validate_only=validate_only)
        error = operation.exception(timeout=30)
        assert error is not None or validate_only, "the operation did not fail"
        expect_equal(list(operation.metadata.failed_versions), [versions[1]])
    expect_equal(error.grpc_status_code.name, "FAILED_PRECONDITION")
    expect_equal(names(world.owner.list_versions(parent=repository.package("a/b"))), [versions[1]])
    expect_equal(repository.pulled("a/b", "v1"), tagged.digest)


@check("versions: a batch of nothing, or of another package, is refused")
def batch_refused(world):
    repository = world.repository("version-batches")
    repository.push("a/b", Image(1))
    other = repository.version("a", repository.push("a", Image(2)))
    for versions in [], [other], ["nonsense"]:
        world.expect_refused(InvalidArgument, "", delete_batch, world, repository, versions)
    expect_equal(repository.pulled("a", Image(2).digest), Image(2).digest)
