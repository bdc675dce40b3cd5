"""Filters and orders of lists, with scripts and without."""
from checks import check, expect_equal
from webdriver import wait_for
from world import APP, MANY


@check("the filter is a form that needs no script")
def filter_form(world):
    for browser in world.browser, world.plain:
        world.open(MANY, browser)
        browser.submit("#filter", "build-005")
        assert "filter=build-005" in browser.url(), browser.url()
        expect_equal(sorted(browser.texts("tbody th a")), [f"build-005{n}" for n in range(10)])
        world.open(f"{MANY}?filter=nothing", browser)
        assert "Nothing matches" in browser.text("main")
        browser.follow("#list p a")
        expect_equal(len(browser.texts("tbody th a")), 50)


@check("the list is filtered while the viewer types, without a new page")
def filter_while_typing(world):
    browser = world.open(MANY)
    browser.run("window.sameDocument = true;")
    browser.type("#filter", "build-0042")
    wait_for(lambda: browser.texts("tbody th a") == ["build-0042"])
    wait_for(lambda: "filter=build-0042" in browser.url())
    expect_equal(browser.run("return window.sameDocument;"), True)
    expect_equal(browser.run("return document.activeElement.id;"), "filter")
    expect_equal(browser.run("return document.querySelectorAll('tbody .copy:not([hidden])').length;"), 1)
    expect_equal(browser.console_messages(), [])


@check("columns sort by links, and say so")
def sorting(world):
    sorted_by = "return [...document.querySelectorAll('[aria-sort]')].map((cell) => [cell.textContent.trim(), cell.ariaSort]);"
    for browser in world.browser, world.plain:
        world.open(MANY, browser)
        browser.follow("thead th a")
        first = browser.run(sorted_by)
        names = browser.texts("tbody th a")
        browser.follow("thead th a")
        second = browser.run(sorted_by)
        expect_equal(sorted([first[0][1], second[0][1]]), ["ascending", "descending"])
        expect_equal([len(first), len(second), first[0][0]], [1, 1, "Tag"])
        ascending = names if first[0][1] == "ascending" else browser.texts("tbody th a")
        expect_equal(ascending[:2], ["build-0000", "build-0001"])
        descending = browser.texts("tbody th a") if ascending is names else names
        expect_equal(descending[:2], ["build-0059", "build-0058"])


@check("tags of attachments are hidden, and shown on demand")
def attached_tags(world):
    for browser in world.browser, world.plain:
        world.open(APP, browser)
        assert not any(tag.endswith(".sig") for tag in browser.texts("tbody th a"))
        browser.follow("main > p > a")
        assert any(tag.endswith(".sig") for tag in browser.texts("tbody th a"))
