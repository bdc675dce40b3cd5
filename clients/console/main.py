"""main.py URL AXE SCREENSHOTS [--documentation FOLDER]: every check of the console in a browser. clients/console/run runs
it."""
import argparse
import sys
import tempfile

from checks import run_checks
from webdriver import Driver
from world import World

# Importing these modules registers their checks, which run in this order.
import screenshots
import pages
import reading
import forms
import keyboard
import weights
import hostile

parser = argparse.ArgumentParser()
parser.add_argument("url")
parser.add_argument("axe")
parser.add_argument("screenshots")
parser.add_argument("--documentation")
arguments = parser.parse_args()
with tempfile.NamedTemporaryFile(prefix="chromedriver", suffix=".log") as log:
    driver = Driver(log.name)
    try:
        world = World(driver, arguments)
        world.fill()
        passed = run_checks("", world)
    finally:
        driver.end()
sys.exit(0 if passed else 1)
