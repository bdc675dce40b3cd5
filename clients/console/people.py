"""People who sign in: an owner, a reader, a stranger to everything, and whoever is signed out."""
import subprocess

from checks import check, expect_equal
from walk import READABLE, Walk
from webdriver import ENTER, wait_for
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
    browser.click("main form button[type=submit]")


def sign_in(world, person):
    """Returns a new browser in which the person has signed in."""
    browser = world.driver.browser()
    world.open("-/sign-in", browser)
    fill_in_form(browser, email=email(person), password=PASSWORD)
    wait_for(lambda: browser.text("nav.viewer a") == email(person))
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
            browser.type("main [name=password]", PASSWORD + ENTER)
            wait_for(lambda: browser.url() == world.page(f"{APP}?filter=1"))
            cookie = [cookie for cookie in browser.send("GET", "/cookie") if cookie["name"] == "__Host-berth"]
            expect_equal([(one["httpOnly"], one["secure"], one["sameSite"]) for one in cookie], [(True, True, "Lax")])
            browser.click("nav.viewer button")
            world.open(APP, browser)
            assert browser.url().startswith(world.page("-/sign-in")), "signed out, and yet there"
        finally:
            browser.end()


def walk_as(world, person, seeds, kinds, forms):
    """Walks as a person. `forms` says whether pages have forms that change something, besides signing out."""
    browser = sign_in(world, person)
    try:
        Walk(world, browser, seeds, with_axe=True).expect_no_faults(*kinds)
        world.open(APP, browser)
        has_forms = bool(browser.find_all("main form[method=post], main form[action*=delete], main a[href*='/-/delete']"))
        if kinds:
            expect_equal(has_forms, forms)
    finally:
        browser.end()


@check("every page is sound for an owner")
def as_owner(world):
    walk_as(world, "owner", world.seeds(), READABLE + ("own/you",), forms=True)


@check("every page is sound for a reader, who finds nothing to change")
def as_reader(world):
    walk_as(world, "reader", world.seeds(), READABLE + ("own/you",), forms=False)


@check("a stranger sees what everybody may see, and that other pages are not there")
def as_stranger(world):
    public = f"{PUBLIC}/hello"
    browser = sign_in(world, "stranger")
    try:
        Walk(world, browser, ["", PUBLIC, public], with_axe=True).expect_no_faults("repository", "image", "version")
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
        Walk(world, browser, seeds, with_axe=True).expect_no_faults(*kinds)
        for path in PROJECT, REPOSITORY, APP, f"{PROJECT}/nothing", "no-project":
            world.open(path, browser)
            assert browser.url().startswith(world.page("-/sign-in?next=")), browser.url()
    finally:
        browser.end()
