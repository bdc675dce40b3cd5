"""Every page that a viewer reaches."""
from checks import check
from walk import READABLE, SOME, Walk


@check("every page is sound: titles, accessibility, messages, requests")
def every_page(world):
    Walk(world, world.browser, world.seeds(), SOME).expect_no_faults(*READABLE)


@check("every page is there without scripts")
def without_scripts(world):
    Walk(world, world.plain, world.seeds()).expect_no_faults(*READABLE)


@check("the walk finds what is wrong with a page")
def walk_finds_faults(world):
    browser = world.open("")
    walk = Walk(world, browser, [], SOME)
    browser.run("""
      const [image, faint, wide] = ["img", "p", "div"].map((name) => document.createElement(name));
      image.src = "data:image/gif;base64,R0lGODlhAQABAAAAACw=";
      wide.style.width = "500px";
      wide.textContent = "wide";
      faint.textContent = "faint";
      faint.style.color = "#999";
      faint.style.background = "#aaa";
      document.querySelector("main").append(image, faint, wide);
    """)
    url = world.page()
    walk.look_at_title(url, "Projects")
    browser.run(world.axe)
    walk.look_with_axe(url, None)
    walk.look_at_narrow(url)
    walk.look_at_traffic(url)
    browser.clear_width()
    found = "\n".join(walk.faults)
    for text in "the title", "image-alt", "color-contrast", "px wide", "Content Security Policy":
        assert text in found, f"no {text} in {found}"
