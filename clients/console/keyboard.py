"""The console with the keyboard alone."""
from checks import check, expect_equal
from registry import Image
from webdriver import ENTER, SPACE, TAB
from world import APP, MANY, PROJECT, REPOSITORY

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
    a, b = (release.digest for release in world.releases)
    pages = ["", PROJECT, REPOSITORY, f"{REPOSITORY}/-/connect", f"{REPOSITORY}/-/activity", APP, f"{MANY}?rows=20"]
    pages += [f"{APP}?view=versions", f"{APP}?view=untagged", f"{APP}/-/history", f"{APP}/-/compare?a={a}&b={b}"]
    pages += [f"{PROJECT}/all", f"{PROJECT}/all/-/upstreams", "-/search?q=app", "-/you"]
    pages += [world.version(APP, version) for version in (world.releases[1], world.index)]
    for page in pages:
        world.open(page)
        controls = browser.run(NUMBER)
        reached, presses = [], 0
        # A date has several parts, each with a Tab of its own.
        while len(reached) < len(controls) and presses < len(controls) + 20:
            browser.press(TAB)
            presses += 1
            focus = browser.run(FOCUS)
            if reached and focus["number"] == reached[-1]:
                continue
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


@check("a form is filled and sent by keys alone, and the focus is then at what it has done")
def form_by_keys(world):
    image = Image("by keys")
    world.registry.push(f"{REPOSITORY}/keys", image, "first")
    browser = world.open(world.version(f"{REPOSITORY}/keys", image))
    browser.run("document.querySelector('#new-tag').focus();")
    for key in "second":
        browser.press(key)
    browser.press(TAB)
    browser.leave_by(lambda: browser.press(SPACE))
    expect_equal(browser.run("return document.activeElement.textContent;"), "The tag second is set.")
    # The next Tab goes on from there, and not from the top of the page.
    browser.press(TAB)
    assert browser.run("return document.querySelector('main').contains(document.activeElement);")


@check("rows are selected and compared by keys alone")
def selection_by_keys(world):
    browser = world.open(f"{APP}?filter=1.")
    browser.run("document.querySelector('tbody input').focus();")
    browser.press(SPACE)
    browser.run("document.querySelectorAll('tbody input')[1].focus();")
    browser.press(SPACE)
    browser.run("document.querySelector('[formaction*=compare]').focus();")
    browser.leave_by(lambda: browser.press(ENTER))
    assert "2 of 3 layers" in browser.text("main .message"), browser.text("main .message")
