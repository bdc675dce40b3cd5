"""Tags, and those that may not change."""
from google.api_core.exceptions import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound

from python_registry import Image, check, same
from python_world import every_page, finished, names

IMMUTABLE = "The repository has enabled tag immutability"


def with_two(world, name, **fields):
    """A repository with two images of one name, one of them tagged."""
    repository = world.repository(name, **fields)
    first = repository.push("a/b", Image(1), "v1")
    return repository, first, repository.push("a/b", Image(2))


def create(world, repository, tag, version, image="a/b"):
    request = world.library.Tag(version=version)
    return world.owner.create_tag(parent=repository.package(image), tag_id=tag, tag=request)


def move(world, repository, tag, version, **more):
    request = {"tag": {"name": repository.tag("a/b", tag), "version": version}, **more}
    return world.owner.update_tag(request=request)


@check("tags: made, got, and pulled by")
def made(world):
    repository, first, second = with_two(world, "tag-made")
    version = repository.version("a/b", second)
    shown = create(world, repository, "v2", version)
    same((shown.name, shown.version), (repository.tag("a/b", "v2"), version))
    same(world.owner.get_tag(name=shown.name), shown)
    same(repository.pulled("a/b", "v2"), second.digest)
    same(repository.pulled("a/b", "v1"), first.digest)
    same(list(world.owner.get_docker_image(name=repository.image("a/b", second)).tags), ["v2"])


@check("tags: every tag once, in pages of 1, 2, 3 and 1000")
def pages(world):
    repository = world.repository("tag-pages")
    tags = ["v1", "v1.0", "V1", "latest", "_x", "10", "9"]
    repository.push("a/b", Image(1), *tags)
    expected = sorted(repository.tag("a/b", tag) for tag in tags)
    for size in 1, 2, 3, 1000:
        same(sorted(names(every_page(world.owner.list_tags, size, parent=repository.package("a/b")))), expected)


@check("tags: by version, and by name")
def filters(world):
    repository, first, second = with_two(world, "tag-filter")
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
            same(sorted(found), [repository.tag("a/b", tag) for tag in expected])
    request = {"parent": parent, "filter": 'password="x"'}
    world.refused(InvalidArgument, "", world.owner.list_tags, request=request)


@check("tags: moved")
def moved(world):
    repository, _, second = with_two(world, "tag-moved")
    version = repository.version("a/b", second)
    shown = move(world, repository, "v1", version, update_mask={"paths": ["version"]})
    same((shown.name, shown.version), (repository.tag("a/b", "v1"), version))
    same(world.owner.get_tag(name=shown.name), shown)
    same(repository.pulled("a/b", "v1"), second.digest)


@check("tags: deleted, without what they named")
def deleted(world):
    repository, first, _ = with_two(world, "tag-deleted")
    name = repository.tag("a/b", "v1")
    same(world.owner.delete_tag(name=name), None)
    same((repository.pulled("a/b", "v1"), repository.pulled("a/b", first.digest)), (None, first.digest))
    world.refused(NotFound, "", world.owner.get_tag, name=name)
    world.refused(NotFound, "", world.owner.delete_tag, name=name)
    # It may be made again, as `gcloud artifacts docker tags add` does.
    create(world, repository, "v1", repository.version("a/b", first))


@check("tags: one that is there already")
def there_already(world):
    repository, first, second = with_two(world, "tag-exists")
    for image in first, second:
        world.refused(AlreadyExists, "", create, world, repository, "v1", repository.version("a/b", image))
    same(repository.pulled("a/b", "v1"), first.digest)


@check("tags: of what is not there")
def missing(world):
    repository, first, second = with_two(world, "tag-missing")
    absent = repository.version("a/b", Image(3))
    world.refused(NotFound, "", create, world, repository, "v2", absent)
    world.refused(NotFound, "", move, world, repository, "v1", absent, update_mask={"paths": ["version"]})
    world.refused(NotFound, "", world.owner.get_tag, name=repository.tag("a/b", "v2"))
    world.refused(NotFound, "", world.owner.get_tag, name=repository.tag("b", "v1"))
    world.refused(NotFound, "", create, world, repository, "v2", repository.version("b", first), image="b")
    world.refused(NotFound, "", world.owner.list_tags, parent=repository.package("b"))
    same((repository.pulled("a/b", "v1"), repository.pulled("a/b", "v2")), (first.digest, None))


@check("tags: of a version of another package")
def elsewhere(world):
    repository, first, _ = with_two(world, "tag-elsewhere")
    other = repository.version("a", repository.push("a", Image(1), "v1"))
    mask = {"paths": ["version"]}
    world.refused(InvalidArgument, "", create, world, repository, "v2", other)
    world.refused(InvalidArgument, "", move, world, repository, "v1", other, update_mask=mask)
    world.refused(InvalidArgument, "", create, world, repository, "v2", "nonsense")
    same((repository.pulled("a/b", "v1"), repository.pulled("a/b", "v2")), (first.digest, None))


@check("immutable tags: none moves or goes, and neither does what one names")
def immutable(world):
    repository, first, second = with_two(world, "immutable", docker_config={"immutable_tags": True})
    version = repository.version("a/b", first)
    mask = {"paths": ["version"]}
    delete = world.owner.delete_tag
    wanted = repository.version("a/b", second)
    world.refused(FailedPrecondition, IMMUTABLE, move, world, repository, "v1", wanted, update_mask=mask)
    world.refused(FailedPrecondition, IMMUTABLE, delete, name=repository.tag("a/b", "v1"))
    world.refused(AlreadyExists, "", create, world, repository, "v1", wanted)
    for force in False, True:
        request = {"name": version, "force": force}
        text = IMMUTABLE if force else ""
        world.refused(FailedPrecondition, text, world.owner.delete_version, request=request)
    same(repository.pulled("a/b", "v1"), first.digest)


@check("immutable tags: neither goes the package")
def immutable_package(world):
    repository, first, _ = with_two(world, "immutable-package", docker_config={"immutable_tags": True})

    def delete():
        return finished(world.owner.delete_package(name=repository.package("a/b")))

    world.refused(FailedPrecondition, IMMUTABLE, delete)
    same(repository.pulled("a/b", "v1"), first.digest)


@check("immutable tags: what stays possible")
def immutable_allows(world):
    repository, first, second = with_two(world, "immutable-allows", docker_config={"immutable_tags": True})
    create(world, repository, "v2", repository.version("a/b", first))
    same(repository.pulled("a/b", "v2"), first.digest)
    finished(world.owner.delete_version(name=repository.version("a/b", second)))
    same(repository.pulled("a/b", second.digest), None)
    # Pushed again it is the same; something else is refused.
    repository.push("a/b", first, "v1")
    answer = world.registry.put(f"{repository.path}/a/b", "v1", repository.push("a/b", Image(3)))
    assert 400 <= answer.status < 500, answer.status
    error = answer.json()["errors"][0]
    same(error["code"], "MANIFEST_INVALID")
    assert f"cannot update tag v1. {IMMUTABLE}" in error["message"], error
    finished(world.owner.delete_repository(name=repository.name))


@check("immutable tags: until they are no more")
def immutable_no_more(world):
    repository, _, second = with_two(world, "immutable-once", docker_config={"immutable_tags": True})
    changed = world.owner.update_repository(
        repository={"name": repository.name, "docker_config": {"immutable_tags": False}},
        update_mask={"paths": ["docker_config.immutable_tags"]},
    )
    same(changed.docker_config.immutable_tags, False)
    move(world, repository, "v1", repository.version("a/b", second), update_mask={"paths": ["version"]})
    same(repository.pulled("a/b", "v1"), second.digest)
