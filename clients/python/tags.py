"""Tags, mutable and immutable."""
from google.api_core.exceptions import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound

from checks import check, expect_equal
from registry import Image
from world import every_page, finished, names

IMMUTABLE = "The repository has enabled tag immutability"


def two_images(world, name, **fields):
    """Returns a new repository and two images of one name in it. The first has the tag v1."""
    repository = world.repository(name, **fields)
    first = repository.push("a/b", Image(1), "v1")
    return repository, first, repository.push("a/b", Image(2))


def create(world, repository, tag, version, image="a/b"):
    request = world.library.Tag(version=version)
    return world.owner.create_tag(parent=repository.package(image), tag_id=tag, tag=request)


def move(world, repository, tag, version, **more):
    request = {"tag": {"name": repository.tag("a/b", tag), "version": version}, **more}
    return world.owner.update_tag(request=request)


@check("tags: created, read, and pulled by")
def made(world):
    repository, first, second = two_images(world, "tag-made")
    version = repository.version("a/b", second)
    shown = create(world, repository, "v2", version)
    expect_equal((shown.name, shown.version), (repository.tag("a/b", "v2"), version))
    expect_equal(world.owner.get_tag(name=shown.name), shown)
    expect_equal(repository.pulled("a/b", "v2"), second.digest)
    expect_equal(repository.pulled("a/b", "v1"), first.digest)
    expect_equal(list(world.owner.get_docker_image(name=repository.image("a/b", second)).tags), ["v2"])


@check("tags: every tag once, in pages of 1, 2, 3 and 1000")
def pages(world):
    repository = world.repository("tag-pages")
    tags = ["v1", "v1.0", "V1", "latest", "_x", "10", "9"]
    repository.push("a/b", Image(1), *tags)
    expected = sorted(repository.tag("a/b", tag) for tag in tags)
    for size in 1, 2, 3, 1000:
        expect_equal(sorted(names(every_page(world.owner.list_tags, size, parent=repository.package("a/b")))), expected)


@check("tags: filtered by version and by name")
def filters(world):
    repository, first, second = two_images(world, "tag-filter")
    create(world, repository, "v1-alias", repository.version("a/b", first))
    create(world, repository, "w", repository.version("a/b", second))
    parent = repository.package("a/b")
    for wanted, expected in (
        (f'version="{repository.version("a/b", first)}"', ["v1", "v1-alias"]),
        (f'version="{repository.version("a/b", second)}"', ["w"]),
        (f'version="{repository.version("a/b", Image(3))}"', []),
        (f'name="{repository.tag("a/b", "v1")}*"', ["v1", "v1-alias"]),
        (f'name="{repository.tag("a/b", "v1")}"', ["v1"]),
    ):
        for size in 1, 1000:
            found = names(every_page(world.owner.list_tags, size, parent=parent, filter=wanted))
            expect_equal(sorted(found), [repository.tag("a/b", tag) for tag in expected])
    request = {"parent": parent, "filter": 'password="x"'}
    world.expect_refused(InvalidArgument, "", world.owner.list_tags, request=request)


@check("tags: moved to another version")
def moved(world):
    repository, _, second = two_images(world, "tag-moved")
    version = repository.version("a/b", second)
    shown = move(world, repository, "v1", version, update_mask={"paths": ["version"]})
    expect_equal((shown.name, shown.version), (repository.tag("a/b", "v1"), version))
    expect_equal(world.owner.get_tag(name=shown.name), shown)
    expect_equal(repository.pulled("a/b", "v1"), second.digest)


@check("tags: deleted, and the version stays")
def deleted(world):
    repository, first, _ = two_images(world, "tag-deleted")
    name = repository.tag("a/b", "v1")
    expect_equal(world.owner.delete_tag(name=name), None)
    expect_equal((repository.pulled("a/b", "v1"), repository.pulled("a/b", first.digest)), (None, first.digest))
    world.expect_refused(NotFound, "", world.owner.get_tag, name=name)
    world.expect_refused(NotFound, "", world.owner.delete_tag, name=name)
    # The tag may be created again, as `gcloud artifacts docker tags add` does.
    create(world, repository, "v1", repository.version("a/b", first))


@check("tags: a tag that exists is not created again")
def there_already(world):
    repository, first, second = two_images(world, "tag-exists")
    for image in first, second:
        world.expect_refused(AlreadyExists, "", create, world, repository, "v1", repository.version("a/b", image))
    expect_equal(repository.pulled("a/b", "v1"), first.digest)


@check("tags: a missing version, tag or package is not found")
def missing(world):
    repository, first, second = two_images(world, "tag-missing")
    absent = repository.version("a/b", Image(3))
    world.expect_refused(NotFound, "", create, world, repository, "v2", absent)
    world.expect_refused(NotFound, "", move, world, repository, "v1", absent, update_mask={"paths": ["version"]})
    world.expect_refused(NotFound, "", world.owner.get_tag, name=repository.tag("a/b", "v2"))
    world.expect_refused(NotFound, "", world.owner.get_tag, name=repository.tag("b", "v1"))
    world.expect_refused(NotFound, "", create, world, repository, "v2", repository.version("b", first), image="b")
    world.expect_refused(NotFound, "", world.owner.list_tags, parent=repository.package("b"))
    expect_equal((repository.pulled("a/b", "v1"), repository.pulled("a/b", "v2")), (first.digest, None))


@check("tags: a version of another package is refused")
def elsewhere(world):
    repository, first, _ = two_images(world, "tag-elsewhere")
    other = repository.version("a", repository.push("a", Image(1), "v1"))
    mask = {"paths": ["version"]}
    world.expect_refused(InvalidArgument, "", create, world, repository, "v2", other)
    world.expect_refused(InvalidArgument, "", move, world, repository, "v1", other, update_mask=mask)
    world.expect_refused(InvalidArgument, "", create, world, repository, "v2", "nonsense")
    expect_equal((repository.pulled("a/b", "v1"), repository.pulled("a/b", "v2")), (first.digest, None))


@check("immutable tags: neither a tag nor its version is moved or deleted")
def immutable(world):
    repository, first, second = two_images(world, "immutable", docker_config={"immutable_tags": True})
    version = repository.version("a/b", first)
    mask = {"paths": ["version"]}
    delete = world.owner.delete_tag
    wanted = repository.version("a/b", second)
    world.expect_refused(FailedPrecondition, IMMUTABLE, move, world, repository, "v1", wanted, update_mask=mask)
    world.expect_refused(FailedPrecondition, IMMUTABLE, delete, name=repository.tag("a/b", "v1"))
    world.expect_refused(AlreadyExists, "", create, world, repository, "v1", wanted)
    for force in False, True:
        request = {"name": version, "force": force}
        text = IMMUTABLE if force else ""
        world.expect_refused(FailedPrecondition, text, world.owner.delete_version, request=request)
    expect_equal(repository.pulled("a/b", "v1"), first.digest)


@check("immutable tags: the package is not deleted")
def immutable_package(world):
    repository, first, _ = two_images(world, "immutable-package", docker_config={"immutable_tags": True})

    def delete():
        return finished(world.owner.delete_package(name=repository.package("a/b")))

    world.expect_refused(FailedPrecondition, IMMUTABLE, delete)
    expect_equal(repository.pulled("a/b", "v1"), first.digest)


@check("immutable tags: new tags and untagged versions may change")
def immutable_allows(world):
    repository, first, second = two_images(world, "immutable-allows", docker_config={"immutable_tags": True})
    create(world, repository, "v2", repository.version("a/b", first))
    expect_equal(repository.pulled("a/b", "v2"), first.digest)
    finished(world.owner.delete_version(name=repository.version("a/b", second)))
    expect_equal(repository.pulled("a/b", second.digest), None)
    # The same manifest may be pushed again. Another one is refused.
    repository.push("a/b", first, "v1")
    answer = world.registry.put(f"{repository.path}/a/b", "v1", repository.push("a/b", Image(3)))
    assert 400 <= answer.status < 500, answer.status
    error = answer.json()["errors"][0]
    expect_equal(error["code"], "MANIFEST_INVALID")
    assert f"cannot update tag v1. {IMMUTABLE}" in error["message"], error
    finished(world.owner.delete_repository(name=repository.name))


@check("immutable tags: tags move again after the setting is off")
def immutable_no_more(world):
    repository, _, second = two_images(world, "immutable-once", docker_config={"immutable_tags": True})
    changed = world.owner.update_repository(
        repository={"name": repository.name, "docker_config": {"immutable_tags": False}},
        update_mask={"paths": ["docker_config.immutable_tags"]},
    )
    expect_equal(changed.docker_config.immutable_tags, False)
    move(world, repository, "v1", repository.version("a/b", second), update_mask={"paths": ["version"]})
    expect_equal(repository.pulled("a/b", "v1"), second.digest)
