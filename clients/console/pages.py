"""Every page that a viewer reaches."""
from checks import check
from walk import READABLE, Walk


@check("every page is sound: titles, accessibility in both themes and at 320 px, console, requests")
def every_page(world):
    Walk(world, world.browser, world.seeds(), with_axe=True).expect_no_faults(*READABLE)


@check("every page is there without scripts")
def without_scripts(world):
    Walk(world, world.plain, world.seeds(), with_axe=False).expect_no_faults(*READABLE)
