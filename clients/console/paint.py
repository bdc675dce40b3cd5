"""paint.py URL…: prints for each page the milliseconds from the start of the navigation to the first paint.

Each page is opened five times in one browser, and the middle number counts. bench/console prints the table.
"""
import sys
import tempfile

from webdriver import Driver, wait_for

TURNS = 5
FIRST_PAINT = """
const paint = performance.getEntriesByName("first-contentful-paint")[0];
return paint ? paint.startTime : null;
"""


def first_paint(browser, url):
    browser.open(url)
    wait_for(lambda: browser.run(FIRST_PAINT) is not None)
    return browser.run(FIRST_PAINT)


with tempfile.NamedTemporaryFile(prefix="chromedriver", suffix=".log") as log:
    driver = Driver(log.name)
    try:
        browser = driver.browser()
        print("| page | ms, first paint |\n|---|---|")
        for url in sys.argv[1:]:
            times = sorted(first_paint(browser, url) for _ in range(TURNS))
            print(f"| {url.partition('/console/')[2]} | {times[TURNS // 2]:.0f} |", flush=True)
    finally:
        driver.end()
