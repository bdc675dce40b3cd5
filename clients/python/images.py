"""Docker images: the fields of lists, their order and their pages."""
from google.api_core.exceptions import InvalidArgument, NotFound

from checks import check, expect_equal
from registry import BUILT_MS, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Image, Index, docker_image
from world import PARENT, encoded, every_page, names

NESTED = ["a", "a/b", "a/b/c", "b"]


def push_in_turn(repository, count):
    """Pushes images of several names, and returns their resource names, the oldest first."""
    pushed = []
    for seed in range(count):
        image = NESTED[seed % len(NESTED)]
        pushed.append(repository.image(image, repository.push(image, Image(seed), f"v{seed}")))
    return pushed


@check("images: every image once, in pages of 1, 2, 3 and 1000")
def pages(world):
    repository = world.repository("image-pages")
    pushed = push_in_turn(repository, 7)
    for size in 1, 2, 3, 1000:
        expect_equal(sorted(names(every_page(world.owner.list_docker_images, size, parent=repository.name))), sorted(pushed))
    expect_equal(sorted(names(world.owner.list_docker_images(parent=repository.name))), sorted(pushed))


@check("images: an empty repository has none")
def nothing(world):
    expect_equal(list(world.owner.list_docker_images(parent=world.repository("image-none").name)), [])


@check("images: order_by update_time desc, however it is spelt, page by page")
def order(world):
    repository = world.repository("image-order")
    pushed = push_in_turn(repository, 5)
    version = repository.version("a", Image(0))
    world.owner.create_tag(
        parent=repository.package("a"), tag_id="again", tag=world.library.Tag(version=version)
    )
    newest_first = [pushed[0], *reversed(pushed[1:])]
    for spelling in "update_time desc", "UPDATE_TIME desc", "updateTime desc":
        for size in 1, 2, 1000:
            request = {"parent": repository.name, "order_by": spelling}
            expect_equal(names(every_page(world.owner.list_docker_images, size, **request)), newest_first)
    request = {"parent": repository.name, "order_by": "update_time"}
    expect_equal(names(every_page(world.owner.list_docker_images, 2, **request)), newest_first[::-1])


@check("images: an unknown order is refused")
def unknown_order(world):
    parent = world.repository("image-orders").name
    for order_by in "password_hash", "update_time sideways":
        request = {"parent": parent, "order_by": order_by}
        world.expect_refused(InvalidArgument, "", world.owner.list_docker_images, request=request)


@check("images: a page token of another list is refused")
def foreign_token(world):
    first, second = world.repository("token-one"), world.repository("token-two")
    push_in_turn(first, 5)
    push_in_turn(second, 5)
    listing = {"parent": first.name, "page_size": 2}
    token = next(iter(world.owner.list_docker_images(request=listing).pages)).next_page_token
    assert token
    world.owner.list_docker_images(request={**listing, "page_token": token})
    for request in (
        {**listing, "parent": second.name, "page_token": token},
        {**listing, "order_by": "update_time", "page_token": token},
        {**listing, "page_token": "nonsense"},
    ):
        world.expect_refused(InvalidArgument, "", world.owner.list_docker_images, request=request)
    others = (
        (world.owner.list_packages, first.name),
        (world.owner.list_versions, first.package("a")),
        (world.owner.list_tags, first.package("a")),
        (world.owner.list_repositories, PARENT),
    )
    for call, parent in others:
        world.expect_refused(InvalidArgument, "", call, request={"parent": parent, "page_token": token})


@check("images: one image, whose name is nested or not")
def one_image(world):
    repository = world.repository("image-one")
    for image, pushed in ("plain", Image(1)), ("a/b", Image(2, layers=4)), ("of/docker/schema2", docker_image(3)):
        repository.push(image, pushed, "v1", "latest")
        shown = world.owner.get_docker_image(name=repository.image(image, pushed))
        expect_equal(shown.name, f"{repository.name}/dockerImages/{encoded(image)}@{pushed.digest}")
        expect_equal(shown.uri, f"{repository.made.registry_uri}/{image}@{pushed.digest}")
        expect_equal(sorted(shown.tags), ["latest", "v1"])
        expect_equal(shown.image_size_bytes, pushed.size)
        expect_equal(shown.media_type, DOCKER_MANIFEST if image.startswith("of/") else OCI_MANIFEST)
        expect_equal(shown.build_time.timestamp() * 1000, int(BUILT_MS))
        assert shown.upload_time.timestamp() > 0
        assert shown.upload_time <= shown.update_time, shown
        listed = [item for item in world.owner.list_docker_images(parent=repository.name) if item.name == shown.name]
        expect_equal(listed, [shown])


@check("images: an image is pulled from its uri")
def address(world):
    repository = world.repository("image-uri")
    pushed = repository.push("a/b", Image(1), "v1")
    uri = world.owner.get_docker_image(name=repository.image("a/b", pushed)).uri
    host, path = uri.split("@")[0].split("/", 1)
    expect_equal(path, f"{repository.path}/a/b")
    assert host.startswith("us-west1-docker."), host
    answer = world.registry.send("GET", f"/v2/{path}/manifests/v1", Host=host, Accept="*/*")
    expect_equal(answer.expect_status(200).body, pushed.manifest)


@check("images: an index shows the images that it names")
def index(world):
    repository = world.repository("image-index")
    one = repository.push("a/b", Image(1))
    two = repository.push("a/b", Image(2))
    platforms = {"architecture": "arm64", "os": "linux", "variant": "v8"}, {
        "architecture": "amd64", "os": "windows", "os.version": "10.0.1", "os.features": ["win32k"],
    }
    described = [image.described(platform=platform) for image, platform in zip((one, two), platforms)]
    pushed = repository.push("a/b", Index(described), "multi")
    shown = world.owner.get_docker_image(name=repository.image("a/b", pushed))
    expect_equal((shown.media_type, shown.image_size_bytes, list(shown.tags)), (OCI_INDEX, 0, ["multi"]))
    assert "build_time" not in shown, shown.build_time
    arm, windows = shown.image_manifests
    expect_equal((arm.architecture, arm.os, arm.variant), ("arm64", "linux", "v8"))
    expect_equal((arm.digest, arm.media_type), (one.digest, OCI_MANIFEST))
    expect_equal((windows.architecture, windows.os, windows.digest), ("amd64", "windows", two.digest))
    expect_equal((windows.os_version, list(windows.os_features)), ("10.0.1", ["win32k"]))


@check("images: the type of an artifact")
def artifact_type(world):
    repository = world.repository("image-type")
    about = repository.push("a", Image(1), "v1").described()
    typed = repository.push("a", Image(2, artifactType="application/spdx+json", subject=about))
    # A manifest with a subject and without a type has the media type of its config.
    config = "application/vnd.example.sbom.config"
    implied = repository.push("a", Image(3, media_types=(OCI_MANIFEST, config, "text/plain"), subject=about))
    for pushed, expected in (typed, "application/spdx+json"), (implied, config):
        expect_equal(world.owner.get_docker_image(name=repository.image("a", pushed)).artifact_type, expected)


@check("images: a manifest without subject and type has no artifact type")
def no_artifact_type(world):
    repository = world.repository("image-typeless")
    for image, pushed in ("oci", Image(1)), ("docker", docker_image(2)):
        repository.push(image, pushed, "v1")
        expect_equal(world.owner.get_docker_image(name=repository.image(image, pushed)).artifact_type, "")


@check("images: a missing image or repository is not found")
def missing(world):
    repository = world.repository("image-missing")
    pushed = repository.push("a", Image(1), "v1")
    for name in (
        repository.image("a", Image(2)),
        repository.image("b", pushed),
        repository.image("a", pushed).replace("image-missing", "image-nowhere"),
    ):
        world.expect_refused(NotFound, "", world.owner.get_docker_image, name=name)
    world.expect_refused(NotFound, "", world.owner.list_docker_images, parent=f"{PARENT}/repositories/nowhere")
