"""What pages say: digests, tags, layers, times, in both languages; and that they can be copied."""
import json

from checks import check, expect_equal
from registry import Registry
from world import APP, MANY, PROJECT, REPOSITORY

@check("a version's page has the digest that was pushed, its tags, its layers and their sizes")
def version_page(world):
    image = world.releases[1]
    for browser in world.browser, world.plain:
        world.open(world.version(APP, image), browser)
        expect_equal(browser.text("#image-digest"), image.digest)
        assert "1.1" in browser.texts(".chips a")
        assert "layers" in browser.text("main").lower()
        layers = json.loads(image.manifest)["layers"]
        shown = browser.texts(".layers .digest code")
        expect_equal(shown, [layer["digest"].removeprefix("sha256:")[:12] for layer in layers])
        steps = " ".join(browser.texts(".layers .step"))
        for step in "ADD file:6ebbc8f2 in /", "RUN /bin/sh -c apk add", "COPY app /usr/local/bin/app", "USER 10001":
            assert step in steps, f"no step {step} in {steps}"
        assert "#(nop)" not in steps and "# buildkit" not in steps, steps


@check("an index's page leads to each platform, and to the attestations under it")
def index_page(world):
    browser = world.open(world.version(APP, world.index))
    rows = browser.texts("[aria-labelledby=platforms] tbody th")
    expect_equal(rows, ["linux/amd64", "linux/arm64"])
    assert "unknown" not in browser.text("[aria-labelledby=platforms]")
    expect_equal(len(browser.find_all("[aria-labelledby=platforms] tbody td div a")), 2)
    browser.follow("[aria-labelledby=platforms] tbody th a")
    expect_equal(browser.text("#image-digest"), world.platform.digest)
    assert world.index.digest in browser.text("[aria-labelledby=parents]")


@check("signature and parts list are on the page of their image, and in the table of tags")
def attachments(world):
    browser = world.open(world.version(APP, world.releases[1]))
    shown = browser.text("[aria-labelledby=attachments]")
    for made in world.signature, world.sbom:
        assert made.digest in shown, shown
    browser = world.open(world.version(APP, world.signature))
    assert world.releases[1].digest in browser.text("[aria-labelledby=subject]")
    browser = world.open(f"{APP}?filter=1.1")
    expect_equal(browser.texts("tbody .badge"), ["signed", "SBOM"])


@check("what real clients pushed is there: digest, layers, platforms, labels, a chart")
def real_clients(world):
    web = f"{REPOSITORY}/web"
    for tag in "v1", "v2", "multi":
        browser = world.open(f"{web}:{tag}")
        expect_equal(browser.text("#image-digest"), world.registry.digest(web, tag))
    expect_equal(browser.texts("[aria-labelledby=platforms] tbody th"), ["linux/amd64", "linux/arm64"])
    browser = world.open(f"{web}:v2")
    expect_equal(len(browser.texts(".layers .digest code")), 2)
    assert "team" in browser.text("[aria-labelledby=config]")
    browser = world.open(f"{REPOSITORY}/chart:0.1.0")
    expect_equal(browser.text("#image-digest"), world.registry.digest(f"{REPOSITORY}/chart", "0.1.0"))


@check("buttons copy the whole digest and whole commands")
def copies(world):
    image = world.releases[1]
    browser = world.open(world.version(APP, image))
    browser.devtools(
        "Browser.grantPermissions", origin=world.url, permissions=["clipboardReadWrite", "clipboardSanitizedWrite"]
    )
    read = "navigator.clipboard.readText().then(arguments[0]);"
    browser.click(".copyable.large .copy")
    expect_equal(browser.run_async(read), image.digest)
    expect_equal(browser.text(".copyable.large .copy"), "Copied")
    browser.click("details[open] .copyable:last-of-type .copy")
    command = browser.run_async(read)
    assert command.startswith("docker pull ") and command.endswith(f"/app@{image.digest}"), command
    world.open(f"{APP}?filter=1.1")
    browser.click("tbody .digest .copy")
    expect_equal(browser.run_async(read), image.digest)
    expect_equal(browser.texts("#said"), ["Copied"])
    # Browsers have no clipboard for a page over plain http from another machine.
    gone = "Object.defineProperty(Navigator.prototype, 'clipboard', { value: undefined });"
    script = browser.devtools("Page.addScriptToEvaluateOnNewDocument", source=gone)["identifier"]
    world.open(world.version(APP, world.index))
    browser.click(".copyable.large .copy")
    expect_equal(browser.text(".copyable.large .copy"), "Copied")
    browser.devtools("Page.removeScriptToEvaluateOnNewDocument", identifier=script)
    world.open("")
    expect_equal(browser.run_async(read), world.index.digest)
    world.open(APP, world.plain)
    expect_equal(world.plain.run("return document.querySelectorAll('.copy:not([hidden])').length;"), 0)


@check("times are the viewer's, with the exact time in UTC; without scripts they are UTC")
def times(world):
    browser = world.browser
    built = "[...document.querySelectorAll('time')].find((time) => time.dateTime === '2026-02-28T23:30:15Z')"
    read = f"const time = {built}; return [time.textContent, time.title];"
    try:
        for zone, expected in ("Asia/Tokyo", "2026-03-01 08:30"), ("America/New_York", "2026-02-28 18:30"):
            browser.devtools("Emulation.setTimezoneOverride", timezoneId=zone)
            world.open(world.version(APP, world.releases[1]))
            expect_equal(browser.run(read), [expected, "2026-02-28T23:30:15Z"])
    finally:
        browser.devtools("Emulation.setTimezoneOverride", timezoneId="")
    world.open(world.version(APP, world.releases[1]), world.plain)
    expect_equal(world.plain.run(read), ["2026-02-28 23:30 UTC", "2026-02-28T23:30:15Z"])


@check("a browser that asks for Chinese gets it, and so does whoever chooses it")
def chinese(world):
    path = world.version(APP, world.releases[1])
    asking = world.driver.browser(language="zh-CN,zh")
    try:
        world.open(path, asking)
        expect_equal(asking.run("return document.documentElement.lang;"), "zh-Hans")
        assert "映像摘要" in asking.text("main") and "层" in asking.text("main")
    finally:
        asking.end()
    for browser in world.browser, world.plain:
        world.open(path, browser)
        browser.follow("footer a[lang=zh-Hans]")
        expect_equal(browser.url(), world.page(path))
        expect_equal(browser.texts("h2#digest"), ["映像摘要"])
        expect_equal(browser.text("#image-digest"), world.releases[1].digest)
        browser.follow("footer a[lang=en]")
        expect_equal(browser.run("return document.documentElement.lang;"), "en")


# Words that Chinese pages have as they are, besides commands and what strangers wrote.
KEPT_WORDS = {"tag", "digest", "API", "CSV", "SBOM", "UTC", "KiB", "MiB", "Helm", "Berth", "https", "localhost", "sha"}
TOOLS = {"docker", "podman", "crictl", "crane"}
# Names of this world in cells of tables: tags, upstreams, and who built an image.
NAMES = {"latest", "sig", "own", "project", "repository", "build", "west"}
LATIN = """
const kept = "code, pre, bdi, time, h1, tbody th, tbody td a, .chip, .crumbs, .viewer, .facts dd, [lang=en], .tabs [href*='tool='], .found a";
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
while (texts.nextNode()) {
  const { parentElement: element, textContent: text } = texts.currentNode;
  if (!element.closest(kept) && element.checkVisibility()) found.push(...text.replace(/[0-9a-f]{12,}/g, "").match(/[A-Za-z]{3,}/g) ?? []);
}
for (const element of document.querySelectorAll("[aria-label]")) found.push(...element.ariaLabel.split(":")[0].match(/[A-Za-z]{3,}/g) ?? []);
return found;
"""


@check("no English is left on Chinese pages")
def no_english_left(world):
    a, b = (release.digest for release in world.releases)
    pages = ["", PROJECT, REPOSITORY, f"{REPOSITORY}?filter=nothing", f"{PROJECT}/empty", f"{PROJECT}/fixed"]
    pages += [f"{REPOSITORY}/-/connect", f"{REPOSITORY}/-/activity", APP, f"{MANY}?rows=20", f"{APP}?view=versions"]
    pages += [f"{APP}?view=untagged", f"{APP}/-/history", f"{APP}/-/activity", f"{APP}/-/compare?a={a}&b={b}"]
    pages += [f"{PROJECT}/all", f"{PROJECT}/all/-/upstreams?image=app:1.0", "-/you"]
    pages += ["-/search?q=app", "-/search?q=nothing", f"{PROJECT}/absent"]
    pages += [world.version(APP, version) for version in (world.releases[1], world.index, world.signature)]
    browser = world.driver.browser(language="zh-CN,zh")
    try:
        left = []
        for page in pages:
            words = set(world.open(page, browser).run(LATIN)) - KEPT_WORDS - TOOLS - NAMES
            left += [f"{page}: {sorted(words)}"] if words else []
        assert not left, "\n".join(left)
    finally:
        browser.end()


@check("a pasted reference, command or digest leads to its page")
def search(world):
    image = world.releases[1]
    browser = world.open("")
    host = f"us-west1-docker.localhost:{world.host.rpartition(':')[2]}"
    for text in f"{host}/{APP}:1.1", f"docker pull {host}/{APP}@{image.digest}", f"{APP}:1.1":
        world.open("")
        browser.submit("#q", text)
        expect_equal(browser.text("#image-digest"), image.digest)


@check("an image's address leads a browser to its page, and a tool to JSON")
def front_door(world):
    port = world.host.rpartition(":")[2]
    host = f"us-west1-docker.localhost:{port}"
    browser = world.browser
    for path, page in (APP, APP), (REPOSITORY, REPOSITORY), (f"{APP}:1.1", world.version(APP, world.releases[1])):
        browser.open(f"http://{host}/{path}")
        # With --dev the console is at every address of this machine.
        expect_equal(browser.url(), f"http://{host}/console/{page}")
    http = Registry(world.url)
    answer = http.send("GET", f"/{APP}", Host=host, Accept="text/html").expect_status(302)
    expect_equal(answer.headers["location"], f"/console/{APP}")
    expect_equal(answer.headers["vary"], "accept")
    for accepted in "*/*", "application/json":
        answer = http.send("GET", f"/{APP}", Host=host, Accept=accepted)
        expect_equal(answer.headers["content-type"], "application/json")


@check("the page of many tags has 50 of them, and leads to the others")
def pages_of_a_list(world):
    for browser in world.browser, world.plain:
        world.open(MANY, browser)
        first = browser.texts("tbody th a")
        expect_equal(len(first), 50)
        browser.follow("a[rel=next]")
        rest = browser.texts("tbody th a")
        expect_equal(sorted(first + rest), [f"build-{n:04}" for n in range(60)])
