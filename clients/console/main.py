"""main.py URL AXE SCREENSHOTS [--documentation FOLDER]: the checks of the console with `--dev`.
main.py URL AXE SCREENSHOTS --people SERVER DATA TOKEN: those with people, whom the program SERVER adds.

clients/console/run runs both.
"""
import argparse
import importlib
import sys
import tempfile

from checks import run_checks
from webdriver import Driver
from world import World

parser = argparse.ArgumentParser()
parser.add_argument("url")
parser.add_argument("axe")
parser.add_argument("screenshots")
parser.add_argument("--documentation")
parser.add_argument("--people", nargs=3, metavar=("SERVER", "DATA", "TOKEN"))
arguments = parser.parse_args()
# Importing a module registers its checks, which run in this order.
alone = ["screenshots", "pages", "reading", "forms", "keyboard", "weights", "changes", "hostile"]
for module in ["people"] if arguments.people else alone:
    importlib.import_module(module)
with tempfile.NamedTemporaryFile(prefix="chromedriver", suffix=".log") as log:
    driver = Driver(log.name)
    try:
        world = World(driver, arguments)
        world.fill()
        passed = run_checks("", world)
    finally:
        driver.end()
sys.exit(0 if passed else 1)
