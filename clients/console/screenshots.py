"""Pictures of the main pages, which a run keeps, and those of the documentation."""
import pathlib

from checks import check
from world import APP, PROJECT, REPOSITORY

PNG = b"\x89PNG\r\n\x1a\n"


def take(world, folder, name, page, theme="light", width=1000, height=700, forced_colors=False):
    browser = world.browser
    browser.set_width(width, height)
    browser.set_theme(theme, forced_colors)
    world.open(page)
    picture = browser.screenshot()
    assert picture.startswith(PNG) and len(picture) > 5_000, f"{name}: {len(picture)} bytes"
    (pathlib.Path(folder) / f"{name}.png").write_bytes(picture)


def main_pages(world):
    return {
        "projects": "",
        "repositories": PROJECT,
        "images": REPOSITORY,
        "connect": f"{REPOSITORY}/-/connect",
        "tags": APP,
        "versions": f"{APP}?view=versions",
        "version": world.version(APP, world.releases[1]),
        "index": world.version(APP, world.index),
        "activity": f"{REPOSITORY}/-/activity",
        "history": f"{APP}/-/history",
        "virtual": f"{PROJECT}/all",
    }


@check("every main page has its picture: light, dark, at 320 px, and in forced colours")
def pictures(world):
    try:
        for name, page in main_pages(world).items():
            take(world, world.screenshots, f"{name}-light", page)
            take(world, world.screenshots, f"{name}-dark", page, theme="dark")
            take(world, world.screenshots, f"{name}-narrow", page, width=320)
            take(world, world.screenshots, f"{name}-forced", page, theme="dark", forced_colors=True)
        if world.documentation:
            pictures_of_documentation(world)
    finally:
        world.browser.clear_width()
        world.browser.set_theme("light")


def pictures_of_documentation(world):
    pages, folder = main_pages(world), world.documentation
    for name in "images", "tags", "version", "index":
        take(world, folder, name, pages[name], height=900 if name == "version" else 620)
    take(world, folder, "version-dark", pages["version"], theme="dark")
    take(world, folder, "narrow", pages["tags"], width=320)
