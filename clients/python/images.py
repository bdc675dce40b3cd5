"""Docker images: what lists show, in which order, page by page."""
from google.api_core.exceptions import InvalidArgument, NotFound

from python_registry import BUILT_MS, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Image, Index, check, docker_image, same
from python_world import PARENT, encoded, every_page, names

NESTED = ["a", "a/b", "a/b/c", "b"]


def pushed_in_turn(repository, count):
    """Images of several names, the oldest first, as their resource names."""
    pushed = []
    for seed in range(count):
        image = NESTED[seed % len(NESTED)]
        pushed.append(repository.image(image, repository.push(image, Image(seed), f"v{seed}")))
    return pushed


@check("images: every image once, in pages of 1, 2, 3 and 1000")
def pages(world):
    repository = world.repository("image-pages")
    pushed = pushed_in_turn(repository, 7)
    for size in 1, 2, 3, 1000:
        same(sorted(names(every_page(world.owner.list_docker_images, size, parent=repository.name))), sorted(pushed))
    same(sorted(names(world.owner.list_docker_images(parent=repository.name))), sorted(pushed))


@check("images: an empty repository")
def nothing(world):
    same(list(world.owner.list_docker_images(parent=world.repository("image-none").name)), [])


@check("images: order_by update_time desc, however it is spelt, page by page")
def order(world):
    repository = world.repository("image-order")
    pushed = pushed_in_turn(repository, 5)
    version = repository.version("a", Image(0))
    world.owner.create_tag(
        parent=repository.package("a"), tag_id="again", tag=world.library.Tag(version=version)
    )
    newest_first = [pushed[0], *reversed(pushed[1:])]
    for spelling in "update_time desc", "UPDATE_TIME desc", "updateTime desc":
        for size in 1, 2, 1000:
            request = {"parent": repository.name, "order_by": spelling}
            same(names(every_page(world.owner.list_docker_images, size, **request)), newest_first)
    request = {"parent": repository.name, "order_by": "update_time"}
    same(names(every_page(world.owner.list_docker_images, 2, **request)), newest_first[::-1])


@check("images: an order that there is not")
def unknown_order(world):
    parent = world.repository("image-orders").name
    for order_by in "password_hash", "update_time sideways":
        request = {"parent": parent, "order_by": order_by}
        world.refused(InvalidArgument, "", world.owner.list_docker_images, request=request)


@check("images: a page token of another list")
def foreign_token(world):
    first, second = world.repository("token-one"), world.repository("token-two")
    pushed_in_turn(first, 5)
    pushed_in_turn(second, 5)
    listing = {"parent": first.name, "page_size": 2}
    token = next(iter(world.owner.list_docker_images(request=listing).pages)).next_page_token
    assert token
    world.owner.list_docker_images(request={**listing, "page_token": token})
    for request in (
        {**listing, "parent": second.name, "page_token": token},
        {**listing, "order_by": "update_time", "page_token": token},
        {**listing, "page_token": "nonsense"},
    ):
        world.refused(InvalidArgument, "", world.owner.list_docker_images, request=request)
    others = (
        (world.owner.list_packages, first.name),
        (world.owner.list_versions, first.package("a")),
        (world.owner.list_tags, first.package("a")),
        (world.owner.list_repositories, PARENT),
    )
    for call, parent in others:
        world.refused(InvalidArgument, "", call, request={"parent": parent, "page_token": token})


@check("images: an image, of a name that is nested or not")
def one_image(world):
    repository = world.repository("image-one")
    for image, pushed in ("plain", Image(1)), ("a/b", Image(2, layers=4)), ("of/docker/schema2", docker_image(3)):
        repository.push(image, pushed, "v1", "latest")
        shown = world.owner.get_docker_image(name=repository.image(image, pushed))
        same(shown.name, f"{repository.name}/dockerImages/{encoded(image)}@{pushed.digest}")
        same(shown.uri, f"{repository.made.registry_uri}/{image}@{pushed.digest}")
        same(sorted(shown.tags), ["latest", "v1"])
        same(shown.image_size_bytes, pushed.size)
        same(shown.media_type, DOCKER_MANIFEST if image.startswith("of/") else OCI_MANIFEST)
        same(shown.build_time.timestamp() * 1000, int(BUILT_MS))
        assert shown.upload_time.timestamp() > 0
        assert shown.upload_time <= shown.update_time, shown
        listed = [item for item in world.owner.list_docker_images(parent=repository.name) if item.name == shown.name]
        same(listed, [shown])


@check("images: the address of an image is where it is pulled from")
def address(world):
    repository = world.repository("image-uri")
    pushed = repository.push("a/b", Image(1), "v1")
    uri = world.owner.get_docker_image(name=repository.image("a/b", pushed)).uri
    host, path = uri.split("@")[0].split("/", 1)
    same(path, f"{repository.path}/a/b")
    assert host.startswith("us-west1-docker."), host
    answer = world.registry.send("GET", f"/v2/{path}/manifests/v1", Host=host, Accept="*/*")
    same(answer.expect(200).body, pushed.manifest)


@check("images: an index, and what it names")
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
    same((shown.media_type, shown.image_size_bytes, list(shown.tags)), (OCI_INDEX, 0, ["multi"]))
    assert "build_time" not in shown, shown.build_time
    arm, windows = shown.image_manifests
    same((arm.architecture, arm.os, arm.variant), ("arm64", "linux", "v8"))
    same((arm.digest, arm.media_type), (one.digest, OCI_MANIFEST))
    same((windows.architecture, windows.os, windows.digest), ("amd64", "windows", two.digest))
    same((windows.os_version, list(windows.os_features)), ("10.0.1", ["win32k"]))


@check("images: the type of an artifact")
def artifact_type(world):
    repository = world.repository("image-type")
    about = repository.push("a", Image(1), "v1").described()
    said = repository.push("a", Image(2, artifactType="application/spdx+json", subject=about))
    # What has a subject and says no type has that of its config.
    config = "application/vnd.example.sbom.config"
    implied = repository.push("a", Image(3, media_types=(OCI_MANIFEST, config, "text/plain"), subject=about))
    for pushed, expected in (said, "application/spdx+json"), (implied, config):
        same(world.owner.get_docker_image(name=repository.image("a", pushed)).artifact_type, expected)


@check("images: what is about nothing and says no type has none")
def no_artifact_type(world):
    repository = world.repository("image-typeless")
    for image, pushed in ("oci", Image(1)), ("docker", docker_image(2)):
        repository.push(image, pushed, "v1")
        same(world.owner.get_docker_image(name=repository.image(image, pushed)).artifact_type, "")


@check("images: what is not there")
def missing(world):
    repository = world.repository("image-missing")
    pushed = repository.push("a", Image(1), "v1")
    for name in (
        repository.image("a", Image(2)),
        repository.image("b", pushed),
        repository.image("a", pushed).replace("image-missing", "image-nowhere"),
    ):
        world.refused(NotFound, "", world.owner.get_docker_image, name=name)
    world.refused(NotFound, "", world.owner.list_docker_images, parent=f"{PARENT}/repositories/nowhere")
