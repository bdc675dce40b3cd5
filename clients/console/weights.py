"""What pages weigh, and how many requests they take."""
import gzip
import http.client

from checks import check
from walk import requested
from world import APP, MANY, REPOSITORY

KIB = 1024
# As Chromium sends it.
CODINGS = "gzip, deflate, br, zstd"


def weight(world, url):
    """Returns how many bytes an answer has raw, and over the wire with its headers."""
    connection = http.client.HTTPConnection(world.host)
    headers = {"Accept": "text/html,*/*", "Accept-Encoding": CODINGS}
    connection.request("GET", url.removeprefix(world.url), headers=headers)
    response = connection.getresponse()
    assert response.status == 200, f"{url}: {response.status}"
    body = response.read()
    wire = len(body) + sum(len(name) + len(value) + 4 for name, value in response.getheaders())
    is_compressed = response.headers["content-encoding"] == "gzip"
    return len(gzip.decompress(body)) if is_compressed else len(body), wire


@check("a first visit takes 5 requests, 100 KiB, and 30 KiB over the wire")
def first_visit(world):
    for page in "", REPOSITORY, APP:
        browser = world.driver.browser()
        try:
            browser.devtools("Network.clearBrowserCache")
            browser.network_events()
            world.open(page, browser)
            urls = requested(browser)
        finally:
            browser.end()
        weights = [weight(world, url) for url in urls]
        raw, wire = (sum(column) for column in zip(*weights))
        print(f"        /console/{page}: {len(urls)} requests, {raw} bytes, {wire} over the wire", flush=True)
        # The page, its style, its script, its icon, and the rules for prefetches.
        assert 3 <= len(urls) <= 5, urls
        assert raw <= 100 * KIB and wire <= 30 * KIB, weights


@check("a page of 50 rows has at most 60 KiB")
def long_lists(world):
    for query in "?rows=50", "?rows=50&view=versions":
        browser = world.open(MANY + query)
        rows = len(browser.find_all("tbody tr"))
        raw, wire = weight(world, world.page(MANY + query))
        print(f"        {rows} rows: {raw} bytes, {wire} over the wire", flush=True)
        assert rows == 50, rows
        assert raw <= 60 * KIB, raw


@check("browsers keep scripts and styles for ever")
def assets_are_kept(world):
    browser = world.open("")
    urls = browser.run("return [...document.querySelectorAll('link[rel=stylesheet], link[rel=icon], script[src]')]"
                       ".map((element) => element.href ?? element.src);")
    assert len(urls) == 3, urls
    for url in urls:
        answer = world.registry.send("GET", url.removeprefix(world.url)).expect_status(200)
        assert "immutable" in answer.headers["cache-control"], url
