"""Rules that deny downloads, and rules that let tags move in a repository with immutable tags."""
from google.api_core.exceptions import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from google.type.expr_pb2 import Expr

from checks import check, expect_equal
from registry import Image
from world import every_page, names

# An operation that the library does not know by name yet. It takes the number.
TAG_MUTATION = 2


def create(world, repository, name, **fields):
    Rule = world.library.Rule
    rule = Rule(**{"action": Rule.Action.DENY, "operation": Rule.Operation.DOWNLOAD, **fields})
    return world.owner.create_rule(parent=repository.name, rule_id=name, rule=rule)


@check("rules: created as asked, read, listed, changed no further than the mask goes, and deleted")
def made(world):
    Rule = world.library.Rule
    repository = world.repository("ruled")
    condition = Expr(expression="pkg.version.id < '2.0'", title="Old ones", description="Not these")
    shown = create(world, repository, "no-old", package_id="a/b", condition=condition)
    expect_equal((shown.name, shown.action, shown.operation), (f"{repository.name}/rules/no-old", 2, 1))
    expect_equal((shown.package_id, shown.condition), ("a/b", condition))
    expect_equal(world.owner.get_rule(name=shown.name), shown)
    for name in "second", "third":
        create(world, repository, name, package_id=name, action=Rule.Action.ALLOW)
    for size in 1, 2, 1000:
        found = names(every_page(world.owner.list_rules, size, parent=repository.name))
        expect_equal(found, [f"{repository.name}/rules/{name}" for name in ("no-old", "second", "third")])
    change = Rule(name=shown.name, action=Rule.Action.ALLOW, package_id="other")
    changed = world.owner.update_rule(rule=change, update_mask={"paths": ["action"]})
    expect_equal((changed.action, changed.package_id, changed.condition), (Rule.Action.ALLOW, "a/b", condition))
    expect_equal(world.owner.delete_rule(name=shown.name), None)
    world.expect_refused(NotFound, "no-old", world.owner.get_rule, name=shown.name)
    world.expect_refused(NotFound, "no-old", world.owner.delete_rule, name=shown.name)


@check("rules: invalid rules are refused")
def refused(world):
    repository = world.repository("rule-refused")
    create(world, repository, "there")
    world.expect_refused(AlreadyExists, "there", create, world, repository, "there", package_id="a")
    world.expect_refused(AlreadyExists, "there", create, world, repository, "again")
    world.expect_refused(InvalidArgument, "rule_id", create, world, repository, "Upper", package_id="a")
    odd = Expr(expression="pkg.id.matches('.*')")
    world.expect_refused(InvalidArgument, "rule.condition.expression", create, world, repository, "x", package_id="a",
                  condition=odd)
    world.expect_refused(PermissionDenied, "artifactregistry.rules.list", world.nobody.list_rules, parent=repository.name)


@check("rules: a denied download is refused, and an allowed tag moves")
def obeyed(world):
    repository = world.repository("rule-obeyed", docker_config={"immutable_tags": True})
    first = repository.push("a", Image(1), "v1", "dev")
    second = repository.push("a", Image(2), "bad")
    move = {"name": repository.tag("a", "dev"), "version": repository.version("a", second)}
    world.expect_refused(FailedPrecondition, "tag immutability", world.owner.update_tag, tag=move)
    condition = Expr(expression="pkg.tag.id == 'dev'")
    create(world, repository, "dev", operation=TAG_MUTATION, action=world.library.Rule.Action.ALLOW, condition=condition)
    expect_equal(world.owner.update_tag(tag=move).version, move["version"])
    expect_equal(repository.pulled("a", "dev"), second.digest)
    create(world, repository, "no-bad", condition=Expr(expression="pkg.tag.id == 'bad'"))
    denied = world.registry.send("GET", f"/v2/{repository.path}/a/manifests/bad").expect_status(403).json()
    expect_equal(denied["errors"][0]["code"], "DENIED")
    expect_equal(repository.pulled("a", "v1"), first.digest)


@check("annotations: those of packages and versions are replaced as a whole")
def annotated(world):
    library = world.library
    repository = world.repository("annotated")
    pushed = repository.push("a/b", Image(1), "v1")
    package = library.Package(name=repository.package("a/b"), annotations={"team": "web"})
    shown = world.owner.update_package(package=package, update_mask={"paths": ["annotations"]})
    expect_equal((shown.name, dict(shown.annotations)), (package.name, {"team": "web"}))
    expect_equal(world.owner.get_package(name=package.name), shown)
    version = library.Version(name=repository.version("a/b", pushed), annotations={"checked": "yes"})
    shown = world.owner.update_version(version=version)
    expect_equal(dict(shown.annotations), {"checked": "yes"})
    expect_equal(world.owner.get_version(name=version.name), shown)
    world.expect_refused(InvalidArgument, "update_mask", world.owner.update_version, version=version,
                  update_mask={"paths": ["metadata"]})
