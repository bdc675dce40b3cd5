"""What the console changes: tags and versions. And comparing, which changes nothing."""
from checks import check, expect_equal
from images import app_image
from registry import Index
from webdriver import wait_for
from world import APP, REPOSITORY

CHANGES = f"{REPOSITORY}/changes"


def push(world, *tagged):
    """Pushes new images, and returns them. Each is pushed by its tags."""
    world.pushed = getattr(world, "pushed", 0)
    images = []
    for tags in tagged:
        world.pushed += 1
        image = app_image(f"0.{world.pushed}")
        world.registry.push(CHANGES, image, *tags)
        images.append(image)
    return images


def select(browser, *images):
    for image in images:
        browser.click(f"tbody input[value='{image.digest}']")


def tags_of(browser):
    return browser.texts(".chips > li > a")


@check("a tag is added, moved, removed and put back, with scripts and without")
def tags(world):
    for browser, name in (world.browser, "with"), (world.plain, "without"):
        first, second = push(world, [f"{name}-1"], [f"{name}-2"])
        for image in first, second:
            world.open(world.version(CHANGES, image), browser)
            browser.submit("#new-tag", f"{name}-moving")
            expect_equal(browser.url(), world.page(world.version(CHANGES, image)))
            assert f"{name}-moving" in browser.text("main [role=status]"), browser.text("main")
            assert f"{name}-moving" in tags_of(browser)
            expect_equal(world.registry.digest(CHANGES, f"{name}-moving"), image.digest)
        # The message is shown once.
        world.open(world.version(CHANGES, second), browser)
        assert not browser.find_all("main [role=status]")
        browser.follow(f"[aria-label='Remove tag: {name}-moving']")
        assert f"{name}-moving" not in tags_of(browser)
        expect_equal(world.registry.digest(CHANGES, f"{name}-moving"), None)
        world.open(f"{CHANGES}/-/history?tag={name}-moving", browser)
        expect_equal(len(browser.find_all("tbody tr")), 3)
        short = first.digest.removeprefix("sha256:")[:12]
        browser.follow(f"tbody [aria-label='Put back: {name}-moving {short}']")
        expect_equal(world.registry.digest(CHANGES, f"{name}-moving"), first.digest)
        world.open(f"{CHANGES}/-/history?tag={name}-moving", browser)
        expect_equal(len(browser.find_all("tbody tr")), 4)


@check("two selected versions are compared")
def compare(world):
    for browser in world.browser, world.plain:
        world.open(f"{APP}?filter=1.", browser)
        select(browser, *world.releases)
        browser.follow_button("Compare the two selected")
        assert "token" not in browser.url(), browser.url()
        assert "2 of 3 layers" in browser.text("main .message"), browser.text("main .message")
        shown = browser.text("main")
        for text in "APP_RELEASE", "1.0", "1.1":
            assert text in shown, f"no {text} in {shown}"


@check("a selection is deleted after a page that says what goes, what stays and what becomes free")
def delete(world):
    for browser in world.browser, world.plain:
        part, alone, kept = push(world, ["part"], ["alone"], ["kept"])
        index = Index([part.described(platform={"architecture": "amd64", "os": "linux"})])
        world.registry.push(CHANGES, index, "index")
        world.open(CHANGES, browser)
        select(browser, index, alone)
        browser.follow_button("Delete the selected")
        # The address holds no selection, and a comparison no token.
        expect_equal(browser.url(), world.page(f"{CHANGES}/-/deletion-plan"))
        goes = browser.texts("[aria-labelledby=goes] tbody th")
        short = [image.digest.removeprefix("sha256:")[:12] for image in (index, alone)]
        assert set(short) <= set(goes), (short, goes)
        chips = browser.texts("[aria-labelledby=goes] tbody .chip")
        assert {"index", "alone"} <= set(chips) and "kept" not in chips, chips
        # Nothing has happened yet.
        expect_equal(world.registry.digest(CHANGES, "alone"), alone.digest)
        browser.follow("main .danger")
        expect_equal(browser.url(), world.page(CHANGES))
        assert browser.text("main [role=status]").startswith("Deleted"), browser.text("main [role=status]")
        for tag, expected in ("index", None), ("alone", None), ("kept", kept.digest):
            expect_equal((tag, world.registry.digest(CHANGES, tag)), (tag, expected))


@check("all rows are selected at once, also after the list was filtered")
def select_all(world):
    push(world, ["all-1", "all-2"], ["all-3"])
    browser = world.open(CHANGES)
    for _ in range(2):
        browser.click("[data-select-all]")
        boxes = "return [...document.querySelectorAll('tbody input[type=checkbox]')].map((box) => box.checked);"
        checked = browser.run(boxes)
        assert checked and all(checked), checked
        browser.type("#filter", "all-")
        wait_for(lambda: len(browser.find_all("tbody tr")) == 3)


@check("a deletion that something came between is not carried out, and says so")
def changed_meanwhile(world):
    for browser, name in (world.browser, "came"), (world.plain, "between"):
        image, = push(world, [f"{name}-1"])
        world.open(world.version(CHANGES, image), browser)
        browser.follow_button("Delete…")
        world.registry.put(CHANGES, f"{name}-2", image).expect_status(201)
        browser.follow("main .danger")
        expect_equal(browser.texts("h1"), ["Changed meanwhile"])
        expect_equal(world.registry.digest(CHANGES, f"{name}-1"), image.digest)


@check("activity shows pushes, moves and deletions, filters them, and gives them as a file")
def activity(world):
    for browser in world.browser, world.plain:
        world.open(f"{CHANGES}/-/activity", browser)
        kinds = set(browser.texts("#list tbody th"))
        assert len(kinds) >= 3, kinds
        assert "dev@localhost" in browser.text("#list tbody")
        wanted = sorted(kinds)[0]
        world.open(f"{CHANGES}/-/activity?kind={wanted}", browser)
        expect_equal(set(browser.texts("#list tbody th")), {wanted})
    answer = world.registry.send("GET", f"/console/{REPOSITORY}/-/activity.csv").expect_status(200)
    assert answer.headers["content-type"].startswith("text/csv") and "attachment" in answer.headers["content-disposition"]
    assert "changes" in answer.body.decode()
