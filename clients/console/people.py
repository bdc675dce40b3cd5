"""People who sign in: an owner, a reader, a stranger to everything, and whoever is signed out."""
import subprocess

from checks import check, expect_equal
from images import app_image
from walk import READABLE, SOME, WIDE_AND_NARROW, Walk
from world import APP, LOCATION, OTHER_PROJECT, PROJECT, PUBLIC, REPOSITORY

PASSWORD = "correct horse battery staple"
# Who is added, and the role that each has on the project.
PEOPLE = {"owner": "roles/owner", "other-owner": "roles/owner", "reader": "roles/artifactregistry.reader", "stranger": None}


def email(person):
    return f"{person}@example.com"


def add_person(world, person):
    """Adds a person, as the operator does, and returns the link that is printed."""
    command = [world.server, "users", "add", email(person), "--data", world.data]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    links = [word for word in output.split() if "/password/" in word]
    expect_equal(len(links), 1)
    return links[0]


def grant(world, resource, member, role):
    path = f"/v1/{resource}" if resource.startswith("projects/") else resource
    policy = world.registry.send_json("POST", f"{path}:getIamPolicy", {})
    if policy.status == 404:
        policy = world.registry.send("GET", f"{path}:getIamPolicy")
    policy = policy.expect_status(200).json()
    policy.setdefault("bindings", []).append({"role": role, "members": [member]})
    world.registry.send_json("POST", f"{path}:setIamPolicy", {"policy": policy}).expect_status(200)


def fill_in_form(browser, **fields):
    for name, value in fields.items():
        browser.type(f"main [name={name}]", value)
    browser.follow("main form button[type=submit]")


def sign_in(world, person):
    """Returns a new browser in which the person has signed in."""
    browser = world.driver.browser()
    world.open("-/sign-in", browser)
    fill_in_form(browser, email=email(person), password=PASSWORD)
    expect_equal(browser.text("nav.viewer a"), email(person))
    return browser


@check("people set a password by the operator's link, and it works once")
def passwords(world):
    for number, (person, role) in enumerate(PEOPLE.items()):
        link = add_person(world, person)
        # The form works with scripts and without.
        browser = [world.browser, world.plain][number % 2]
        browser.open(link)
        fill_in_form(browser, password=PASSWORD)
        assert "The password is set" in browser.text("main"), browser.text("main")
        browser.open(link)
        assert not browser.find_all("main [name=password]"), "the link is good twice"
        if role:
            grant(world, f"projects/{PROJECT}", f"user:{email(person)}", role)
            grant(world, f"projects/{OTHER_PROJECT}", f"user:{email(person)}", role)
    path = f"projects/{PROJECT}/locations/{LOCATION}/repositories/{PUBLIC.rpartition('/')[2]}"
    grant(world, path, "allUsers", "roles/artifactregistry.reader")
    for browser in world.browser, world.plain:
        browser.console_messages()


@check("who signs in comes back to the page that asked for it; a wrong password says so")
def signing_in(world):
    for browser in world.driver.browser(), world.driver.browser(scripts=False):
        try:
            world.open(f"{APP}?filter=1", browser)
            assert browser.url().startswith(world.page("-/sign-in?next=")), browser.url()
            fill_in_form(browser, email=email("reader"), password="a wrong password")
            assert browser.find_all("[role=alert]") and browser.find_all("[aria-invalid=true]")
            expect_equal(browser.run("return document.querySelector('[name=email]').value;"), email("reader"))
            browser.submit("main [name=password]", PASSWORD)
            expect_equal(browser.url(), world.page(f"{APP}?filter=1"))
            cookie = [cookie for cookie in browser.send("GET", "/cookie") if cookie["name"] == "__Host-berth"]
            expect_equal([(one["httpOnly"], one["secure"], one["sameSite"]) for one in cookie], [(True, True, "Lax")])
            browser.follow("nav.viewer button")
            world.open(APP, browser)
            assert browser.url().startswith(world.page("-/sign-in")), "signed out, and yet there"
        finally:
            browser.end()


def walk_as(world, person, kinds, forms, looks):
    """Walks over all pages as a person. `forms` says whether pages have forms that change something, besides signing out."""
    browser = sign_in(world, person)
    try:
        walk = Walk(world, browser, world.seeds(), looks)
        if forms:
            world.open(world.version(APP, world.releases[1]), browser)
            browser.follow_button("Delete…")
            walk.look_at_open_page(browser.url())
        walk.expect_no_faults(*kinds)
        for page in world.version(APP, world.releases[1]), APP, f"{APP}?view=versions", f"{APP}/-/history":
            world.open(page, browser)
            changing = "main form[method=post], main [formaction*='/-/deletion-plan']"
            # Only a tag that was moved can be put back.
            if forms is False or not page.endswith("history"):
                expect_equal((page, bool(browser.find_all(changing))), (page, forms))
    finally:
        browser.end()


@check("every page is sound for an owner, in both themes, and at 320 px too")
def as_owner(world):
    kinds = READABLE + ("own/you", "image/compare, as asked")
    walk_as(world, "owner", kinds, forms=True, looks=WIDE_AND_NARROW)


@check("every page is sound for a reader, who finds nothing to change")
def as_reader(world):
    walk_as(world, "reader", READABLE + ("own/you", "image/compare, as asked"), forms=False, looks=SOME)


@check("two people: what one deletes is not there for the other, whose deletion is refused")
def two_people(world):
    image = app_image("two people")
    world.registry.push(APP, image, "doomed")
    first, second = sign_in(world, "owner"), sign_in(world, "other-owner")
    try:
        for browser in first, second:
            world.open(world.version(APP, image), browser)
            browser.follow_button("Delete…")
        first.follow("main .danger")
        assert first.text("main [role=status]").startswith("Deleted"), first.text("main")
        second.follow("main .danger")
        assert second.texts("h1")[0] in ("Changed meanwhile", "Not found"), second.texts("h1")
        expect_equal(world.registry.digest(APP, "doomed"), None)
        world.open(f"{APP}/-/activity", second)
        shown = second.text("#list tbody")
        assert f"user:{email('owner')}" in shown and email("other-owner") not in shown, shown
    finally:
        first.end()
        second.end()


@check("a person sees their sessions, and ends the others")
def sessions(world):
    first, second = sign_in(world, "other-owner"), sign_in(world, "other-owner")
    try:
        world.open("-/you", first)
        rows = first.texts("tbody th")
        expect_equal(sum("this one" in row for row in rows), 1)
        assert len(rows) >= 2 and all("Chrom" in row for row in rows), rows
        first.follow("main form:not(td form) button")
        expect_equal(len(first.find_all("tbody tr")), 1)
        world.open("-/you", second)
        assert second.url().startswith(world.page("-/sign-in")), second.url()
    finally:
        first.end()
        second.end()


@check("a stranger sees what everybody may see, and that other pages are not there")
def as_stranger(world):
    public = f"{PUBLIC}/hello"
    browser = sign_in(world, "stranger")
    try:
        Walk(world, browser, ["", PUBLIC, public], SOME).expect_no_faults("repository", "image", "version")
        browser.console_messages()
        for path in PROJECT, REPOSITORY, APP, f"{APP}/-/history", f"{PROJECT}/nothing", "no-project":
            world.open(path, browser)
            expect_equal((path, browser.title(), browser.texts("h1")), (path, "Not found · Berth", ["Not found"]))
    finally:
        browser.end()


@check("whoever is signed out sees what everybody may see, and is asked to sign in for the rest")
def signed_out(world):
    browser = world.driver.browser()
    try:
        seeds = [PUBLIC, f"{PUBLIC}/hello", "-/sign-in"]
        kinds = ("repository", "image", "version", "own/sign-in")
        Walk(world, browser, seeds, SOME).expect_no_faults(*kinds)
        for path in PROJECT, REPOSITORY, APP, f"{PROJECT}/nothing", "no-project":
            world.open(path, browser)
            assert browser.url().startswith(world.page("-/sign-in?next=")), browser.url()
    finally:
        browser.end()
