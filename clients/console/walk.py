"""A walk over the pages of the console, by the links that they have."""
import urllib.parse

from registry import Registry

# Rules of the guidelines that a law may ask for: WCAG 2.2, levels A and AA.
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
RUN_AXE = """
const [tags, done] = arguments;
axe.run({ runOnly: { type: "tag", values: tags }, resultTypes: ["violations"] }).then((result) => done(
  result.violations.filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id} at ${nodes.slice(0, 3).map(({ html }) => html.slice(0, 160)).join(" and ")}`)));
"""
LOOK = """
const own = [...document.querySelectorAll("*")];
const links = [...document.querySelectorAll("a[href]")].map(({ href }) => href.split("#")[0]);
return {
  status: performance.getEntriesByType("navigation")[0].responseStatus,
  headings: document.querySelectorAll("h1").length,
  mains: document.querySelectorAll("main").length,
  language: document.documentElement.lang,
  links,
  inline: own.filter((element) =>
    element.matches("style, [style], script:not([src]), [href^='javascript:' i]") ||
    element.getAttributeNames().some((name) => name.startsWith("on"))).map(({ outerHTML }) => outerHTML.slice(0, 160)),
};
"""
# The most pages of one kind that are opened. Versions differ most.
MAX_OF_KIND, MAX_VERSIONS = 2, 6
# The kinds that whoever may read everything comes to.
READABLE = (
    "home", "project", "repository", "repository/connect", "repository/activity", "image", "image, as asked",
    "image view=versions", "image/history", "image/activity", "version",
)
NARROW = 320
# The looks of a page that axe-core sees, by theme and width. Few of them take less time.
WIDE_AND_NARROW = [(theme, width) for width in (None, NARROW) for theme in ("light", "dark")]
SOME = [("light", None), ("dark", NARROW)]


class Walk:
    """The pages that a viewer reaches from some pages, each looked at in the viewer's browser."""

    def __init__(self, world, browser, seeds, looks=()):
        self.world, self.browser, self.looks = world, browser, looks
        self.cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies().items())
        self.faults, self.titles, self.kinds = [], {}, {}
        self.seen, self.waiting = set(), []
        for seed in seeds:
            self.note(world.page(seed), "the first pages")
        self.run()

    def run(self):
        while self.waiting:
            url = self.waiting.pop(0)
            try:
                links = self.look_at(url)
            except Exception as error:
                self.fault(url, repr(error))
                continue
            for link in links:
                self.note(link, url)
        self.browser.set_theme("light")

    def fault(self, url, text):
        self.faults.append(f"{url.removeprefix(self.world.url)}: {text}")

    def note(self, url, origin):
        """Notes a link. All links are asked for; the first of each kind are opened in the browser."""
        if url in self.seen or not url.startswith(self.world.url):
            return
        self.seen.add(url)
        kind = kind_of(url)
        status, media_type = self.status_of(url)
        if status not in (200, 303):
            self.fault(origin, f"a link leads to {url} with status {status}")
        is_page = status == 200 and media_type.startswith("text/html")
        most = MAX_VERSIONS if kind == "version" else MAX_OF_KIND
        if is_page and len(self.kinds.setdefault(kind, [])) < most:
            self.kinds[kind].append(url)
            self.waiting.append(url)

    def status_of(self, url):
        answer = Registry(self.world.url).send("GET", url.removeprefix(self.world.url), Accept="text/html", Cookie=self.cookies)
        return answer.status, answer.headers.get("content-type", "")

    def look_at(self, url):
        """Opens a page, notes what is wrong with it, and returns its links."""
        browser = self.browser
        browser.clear_width()
        browser.set_theme("light")
        browser.network_events()
        browser.open(url)
        return self.look_at_open_page(url)

    def look_at_open_page(self, url):
        browser = self.browser
        found = browser.run(LOOK)
        for what, expected in ("status", 200), ("headings", 1), ("mains", 1), ("language", "en"):
            if found[what] != expected:
                self.fault(url, f"{what}: {found[what]}")
        for markup in found["inline"]:
            self.fault(url, f"inline script or style: {markup}")
        self.look_at_title(url, browser.title())
        if self.looks:
            browser.run(self.world.axe)
            self.look_with_axe(url, None)
        self.look_at_narrow(url)
        self.look_at_traffic(url)
        return found["links"]

    def look_at_title(self, url, title):
        """Two pages may have one title only if they are the same list, filtered or sorted."""
        path = url.split("?")[0]
        if not title.endswith(" · Berth"):
            self.fault(url, f"the title {title!r}")
        other = self.titles.setdefault(title, path)
        if other != path:
            self.fault(url, f"the title {title!r}, which {other} has too")

    def look_at_narrow(self, url):
        browser = self.browser
        browser.set_width(NARROW)
        width, widest = browser.run("return [innerWidth, document.documentElement.scrollWidth];")
        if (width, widest) != (NARROW, NARROW):
            self.fault(url, f"{widest} px wide in a window of {width} px")
        self.look_with_axe(url, NARROW)

    def look_with_axe(self, url, width):
        for theme in (theme for theme, wanted in self.looks if wanted == width):
            self.browser.set_theme(theme)
            for violation in self.browser.run_async(RUN_AXE, TAGS):
                self.fault(url, f"{theme}, {width or 'wide'}: {violation}")

    def look_at_traffic(self, url):
        for message in self.browser.console_messages():
            self.fault(url, f"a message in the console: {message}")
        for address in requested(self.browser):
            if not address.startswith(f"{self.world.url}/console/"):
                self.fault(url, f"a request for {address}")

    def expect_no_faults(self, *kinds):
        """Expects that the walk came to pages of all these kinds, and found nothing wrong."""
        opened = sum(len(urls) for urls in self.kinds.values())
        print(f"        {len(self.seen)} links, {opened} pages of {len(self.kinds)} kinds", flush=True)
        missing = [kind for kind in kinds if not self.kinds.get(kind)]
        assert not missing, f"the walk came to no page of these kinds: {missing}; only to {sorted(self.kinds)}"
        assert not self.faults, "\n".join([f"{len(self.faults)} faults:", *self.faults[:40]])


def requested(browser):
    """Returns the addresses that the browser asked for since the last call."""
    events = browser.network_events()
    urls = [parameters["request"]["url"] for name, parameters in events if name == "Network.requestWillBeSent"]
    return [url for url in urls if not url.startswith("data:")]


def kind_of(url):
    """Returns what kind of page an address names: `image`, `image view=versions`, `image, as asked`."""
    parts = urllib.parse.urlsplit(url)
    path = urllib.parse.unquote(parts.path).removeprefix("/console/").strip("/")
    name, _, page = ("/" + path).partition("/-/")
    name = name.strip("/")
    if not name:
        kind = "own/" + page.split("/")[0] if page else "home"
    elif "@" in name:
        kind = "version"
    elif ":" in name.rpartition("/")[2] and name.count("/") > 1:
        kind = "tag"
    else:
        kind = ("project", "repository", "image")[min(name.count("/"), 2)]
    if page and name:
        kind += f"/{page}"
    query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
    view = query.pop("view", None)
    kind += f" view={view}" if view else ""
    # Filtered, sorted, or another part of the list.
    return kind + (", as asked" if query else "")
