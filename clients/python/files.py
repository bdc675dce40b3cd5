"""Files: the blobs and manifests of a repository. Attachments of its images."""
from google.api_core.exceptions import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied

from checks import check, expect_equal
from registry import Image, digest_of
from world import EMPTY, every_page, finished, names


def digests(*images):
    """Returns the digests of the manifests and blobs of the images, in order."""
    return sorted({image.digest for image in images} | {digest_of(blob) for image in images for blob in image.blobs})


def files(repository, *images):
    return [f"{repository.name}/files/{digest}" for digest in digests(*images)]


@check("files: every file once, in the order of digests, in pages of 1, 2, 3 and 1000")
def pages(world):
    repository = world.repository("file-pages")
    first, second = repository.push("a/b", Image(1), "v1"), repository.push("c", Image(2), "v1")
    repository.push("c", first, "same")
    for size in 1, 2, 3, 1000:
        found = names(every_page(world.owner.list_files, size, parent=repository.name))
        expect_equal(found, files(repository, first, second))
    request = {"parent": repository.name, "order_by": "name desc"}
    expect_equal(names(every_page(world.owner.list_files, 2, **request)), files(repository, first, second)[::-1])
    for request in {"order_by": "size"}, {"filter": "size=1"}, {"page_token": "x"}:
        world.expect_refused(InvalidArgument, "", world.owner.list_files, request={"parent": repository.name, **request})


@check("files: of an image, of a version, and by name")
def owners(world):
    repository = world.repository("file-owners")
    first, second = repository.push("a/b", Image(1), "v1"), repository.push("a/b", Image(2), "v1")
    repository.push("c", Image(3), "v1")
    for owner, expected in (
        (repository.package("a/b"), (first, second)),
        (repository.version("a/b", first), (first,)),
        (repository.package("none"), ()),
    ):
        request = {"parent": repository.name, "filter": f'owner="{owner}"'}
        found = every_page(world.owner.list_files, 2, **request)
        expect_equal(names(found), files(repository, *expected))
        for file in found:
            assert file.owner.startswith(owner), file
    name = files(repository, first)[0]
    request = {"parent": repository.name, "filter": f'name="{name}"'}
    expect_equal(names(world.owner.list_files(request=request)), [name])


@check("files: one file, and its bytes")
def one(world):
    repository = world.repository("file-one")
    pushed = repository.push("a/b", Image(1), "v1")
    for data in pushed.manifest, *pushed.blobs:
        name = f"{repository.name}/files/{digest_of(data)}"
        file = world.owner.get_file(name=name)
        expect_equal((file.name, file.size_bytes, file.owner), (name, len(data), repository.version("a/b", pushed)))
        kind = world.library.Hash.HashType.SHA256
        expect_equal([(hash.type_, hash.value.hex()) for hash in file.hashes], [(kind, digest_of(data).split(":")[1])])
        expect_equal(file.create_time, file.update_time)
        # The library has no method for the bytes.
        expect_equal(world.registry.send("GET", f"/v1/{name}:download?alt=media").expect_status(200).body, data)


@check("files: a missing file, and an account without the permission, are refused")
def refused(world):
    repository, other = world.repository("file-none"), world.repository("file-other")
    repository.push("a", Image(1), "v1")
    elsewhere = files(other, Image(1))[0]
    world.expect_refused(NotFound, "was not found", world.owner.get_file, name=elsewhere)
    world.expect_refused(NotFound, "", world.owner.get_file, name=f"{repository.name}/files/x")
    name = files(repository, Image(1))[0]
    world.expect_refused(PermissionDenied, "files.get", world.nobody.get_file, name=name)
    world.expect_refused(PermissionDenied, "files.list", world.nobody.list_files, parent=repository.name)
    repository.grant("reader")
    expect_equal(world.reader.get_file(name=name).name, name)


@check("files: deleted only when nothing needs them")
def deleted(world):
    repository = world.repository("file-deleted")
    tagged, untagged = repository.push("a", Image(1), "v1"), repository.push("a", Image(2))
    name = lambda data: f"{repository.name}/files/{digest_of(data)}"
    for needed in tagged.manifest, tagged.blobs[0], untagged.blobs[1]:
        world.expect_refused(FailedPrecondition, "", world.owner.delete_file, name=name(needed))
    for data in untagged.manifest, *untagged.blobs:
        operation = world.owner.delete_file(name=name(data))
        expect_equal(operation.operation.response.type_url, EMPTY)
        finished(operation)
        world.expect_refused(NotFound, "", world.owner.delete_file, name=name(data))
    expect_equal(repository.pulled("a", untagged.digest), None)
    expect_equal(names(world.owner.list_files(parent=repository.name)), files(repository, tagged))
    world.expect_refused(PermissionDenied, "files.delete", world.nobody.delete_file, name=name(tagged.manifest))


@check("attachments: a pushed manifest with a subject is one")
def attachments(world):
    repository = world.repository("attached")
    image = repository.push("a/b", Image(1), "v1")
    kind, annotations = "application/spdx+json", {"org.example.about": "it"}
    about = Image(2, layers=1, artifactType=kind, subject=image.described(), annotations=annotations)
    repository.push("a/b", about)
    name = f"{repository.name}/attachments/{about.digest.replace(':', '-')}"
    for filter_ in "", f'target="{repository.version("a/b", image)}"', f'oci_version_name="{repository.version("a/b", about)}"':
        request = {"parent": repository.name, "filter": filter_}
        expect_equal(names(every_page(world.owner.list_attachments, 1, **request)), [name])
    request = {"parent": repository.name, "filter": f'target="{repository.version("a/b", about)}"'}
    expect_equal(names(world.owner.list_attachments(request=request)), [])
    attachment = world.owner.get_attachment(name=name)
    expect_equal((attachment.target, attachment.type_), (repository.version("a/b", image), kind))
    expect_equal((attachment.oci_version_name, dict(attachment.annotations)), (repository.version("a/b", about), annotations))
    expect_equal(sorted(attachment.files), [f"{repository.name}/files/{digest}" for digest in sorted(map(digest_of, about.blobs))])
    world.expect_refused(PermissionDenied, "attachments.get", world.nobody.get_attachment, name=name)
    finished(world.owner.delete_attachment(name=name))
    world.expect_refused(NotFound, "", world.owner.get_attachment, name=name)
    expect_equal(repository.pulled("a/b", about.digest), None)


@check("attachments: created from files, under a chosen name")
def attached(world):
    repository = world.repository("attach")
    image, content = repository.push("a/b", Image(1), "v1"), repository.push("files", Image(2), "v1")
    files_ = sorted(f"{repository.name}/files/{digest_of(blob)}" for blob in content.blobs)
    wanted = {
        "target": repository.version("a/b", image), "type_": "application/spdx+json", "files": files_,
        "annotations": {"about": "it"}, "attachment_namespace": "scanner.example.com",
    }
    request = {"parent": repository.name, "attachment": wanted, "attachment_id": "my-sbom"}
    made = finished(world.owner.create_attachment(request=request))
    name = f"{repository.name}/attachments/my-sbom"
    expect_equal((made.name, made.target, made.type_), (name, wanted["target"], wanted["type_"]))
    expect_equal((list(made.files), dict(made.annotations), made.attachment_namespace), (files_, wanted["annotations"], wanted["attachment_namespace"]))
    expect_equal(world.owner.get_attachment(name=name), made)
    expect_equal(list(world.owner.list_attachments(parent=repository.name)), [made])
    world.expect_refused(AlreadyExists, "my-sbom", world.owner.create_attachment, request=request)
    bad = {**request, "attachment": {**wanted, "target": "x"}}
    world.expect_refused(InvalidArgument, "attachment.target", world.owner.create_attachment, request=bad)
    world.expect_refused(PermissionDenied, "attachments.create", world.nobody.create_attachment, request=request)
    finished(world.owner.delete_attachment(name=name))
    world.expect_refused(NotFound, "", world.owner.get_attachment, name=name)
