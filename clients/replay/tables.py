"""Comparisons of an answer: with a document that has some of its fields, and with what Terraform calls unchanged."""
import re

# The fields that Terraform reads back. It shows a difference where a field is not as the user wrote it.
READ_BACK = [
    "cleanupPolicies", "cleanupPolicyDryRun", "description", "dockerConfig", "format", "kmsKeyName", "labels", "mode",
    "remoteRepositoryConfig", "virtualRepositoryConfig",
]


class Absent:
    """Stands for a field that must be absent."""


class TextLike:
    """Stands for text that matches a regular expression."""

    def __init__(self, pattern):
        self.pattern = pattern


TIME = TextLike(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")


class AsSent:
    """Stands for a repository whose READ_BACK fields are those of the sent body, each as it was written."""

    def __init__(self, body):
        self.body = body

    def compare(self, actual):
        shown = {field: actual[field] for field in READ_BACK if field in actual}
        expected = {field: self.body[field] for field in READ_BACK if field in self.body}
        assert shown == expected, f"expected {expected}, got {shown}"
        # The server adds fields of its own to this one.
        scanning = "vulnerabilityScanningConfig"
        if scanning in self.body:
            expect_like(actual.get(scanning), self.body[scanning], scanning)


def expect_like(actual, expected, where="the answer"):
    """Expects an object to have at least the expected fields, and a list to have all expected items in this order."""
    if isinstance(expected, AsSent):
        expected.compare(actual)
    elif isinstance(expected, TextLike):
        matches = isinstance(actual, str) and re.fullmatch(expected.pattern, actual)
        assert matches, f"{where}: expected text like {expected.pattern}, got {actual!r}"
    elif isinstance(expected, dict):
        assert isinstance(actual, dict), f"{where}: expected an object, got {actual!r}"
        for field, value in expected.items():
            if value is Absent:
                assert field not in actual, f"{where}: {field} is {actual[field]!r}"
            else:
                expect_like(actual.get(field), value, f"{where}, {field}")
    elif isinstance(expected, list):
        assert isinstance(actual, list), f"{where}: expected a list, got {actual!r}"
        assert len(actual) == len(expected), f"{where}: expected {len(expected)} items, got {actual!r}"
        for number, value in enumerate(expected):
            expect_like(actual[number], value, f"{where}, item {number}")
    else:
        # Python takes 1 for True.
        assert type(actual) is type(expected) and actual == expected, f"{where}: expected {expected!r}, got {actual!r}"
