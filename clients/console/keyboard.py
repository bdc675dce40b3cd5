"""The console with the keyboard alone."""
from checks import check, expect_equal
from webdriver import ENTER, TAB
from world import APP, MANY, REPOSITORY

# Numbers what the keyboard has to reach: all controls that are seen.
NUMBER = """
const controls = [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")];
window.reachable = controls.filter((control) => control.type !== "hidden" && control.checkVisibility());
return window.reachable.map((control) => control.outerHTML.slice(0, 120));
"""
FOCUS = """
const control = document.activeElement, style = getComputedStyle(control), box = control.getBoundingClientRect();
return {
  number: window.reachable.indexOf(control),
  isOutlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 && style.outlineColor !== "rgba(0, 0, 0, 0)",
  isInWindow: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
  markup: control.outerHTML.slice(0, 120),
};
"""


@check("Tab reaches every control in the order of the page, and shows where it is")
def tab_order(world):
    browser = world.browser
    pages = ["", REPOSITORY, f"{REPOSITORY}/-/connect", APP, f"{MANY}?rows=20"]
    pages += [world.version(APP, version) for version in (world.releases[1], world.index)]
    for page in pages:
        world.open(page)
        controls = browser.run(NUMBER)
        reached = []
        for _ in controls:
            browser.press(TAB)
            focus = browser.run(FOCUS)
            assert focus["isOutlined"], f"{page}: the focus is not seen on {focus['markup']}"
            assert focus["isInWindow"], f"{page}: the focus is out of sight on {focus['markup']}"
            reached.append(focus["number"])
        expect_equal((page, [controls[n] for n in reached if n >= 0]), (page, controls))


@check("the first Tab offers to skip to the content")
def skip_link(world):
    browser = world.open(APP)
    browser.press(TAB)
    expect_equal(browser.run("return document.activeElement.className;"), "skip")
    browser.press(ENTER)
    browser.press(TAB)
    assert browser.run("return document.querySelector('main').contains(document.activeElement);")


@check("links, details and buttons work by Enter")
def enter(world):
    browser = world.open(world.version(APP, world.releases[1]))
    browser.run("document.querySelectorAll('summary')[1].focus();")
    browser.press(ENTER)
    expect_equal(browser.run("return document.querySelectorAll('details')[1].open;"), True)
    browser.run("document.querySelector('.chips a').focus();")
    browser.leave_by(lambda: browser.press(ENTER))
    expect_equal(browser.url(), world.page(f"{APP}?filter=1.1"))
