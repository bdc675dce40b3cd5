"""Checks that are printed as the suites in shell print theirs."""
import sys
import traceback


def expect_equal(actual, expected):
    assert actual == expected, f"expected {expected!r}, got {actual!r}"


CHECKS = []


def check(title):
    """Registers a function as a check."""
    return lambda function: CHECKS.append((title, function))


def run_checks(prefix, *arguments):
    """Runs every registered check, and returns whether all of them passed."""
    failures = 0
    for title, function in CHECKS:
        try:
            function(*arguments)
            print(f"ok      {prefix}{title}", flush=True)
        except Exception:
            failures += 1
            trace = traceback.format_exc().strip().splitlines()[-30:]
            print("\n        ".join([f"FAILED  {prefix}{title}", *trace]), flush=True)
    if not CHECKS:
        sys.exit("no check is registered")
    return failures == 0
