"""What an answer is compared with: documents with some of its fields, and what Terraform calls unchanged."""
import re

# What Terraform reads back, and shows as a difference where it is not what the user wrote.
READ_BACK = [
    "cleanupPolicies", "cleanupPolicyDryRun", "description", "dockerConfig", "format", "kmsKeyName", "labels", "mode",
    "remoteRepositoryConfig", "virtualRepositoryConfig",
]


class Absent:
    """A field that must not be there."""


class Matches:
    """A text of some form."""

    def __init__(self, pattern):
        self.pattern = pattern


TIME = Matches(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")


class Sent:
    """A repository that is what was sent, each field as it was written, and has nothing else that would be read."""

    def __init__(self, body):
        self.body = body

    def compare(self, actual):
        shown = {field: actual[field] for field in READ_BACK if field in actual}
        expected = {field: self.body[field] for field in READ_BACK if field in self.body}
        assert shown == expected, f"expected {expected}, got {shown}"
        # The server adds fields of its own to this one.
        scanning = "vulnerabilityScanningConfig"
        if scanning in self.body:
            like(actual.get(scanning), self.body[scanning], scanning)


def like(actual, expected, where="the answer"):
    """An object has at least the fields that are expected; a list has all of them, in that order."""
    if isinstance(expected, Sent):
        expected.compare(actual)
    elif isinstance(expected, Matches):
        matches = isinstance(actual, str) and re.fullmatch(expected.pattern, actual)
        assert matches, f"{where}: expected text like {expected.pattern}, got {actual!r}"
    elif isinstance(expected, dict):
        assert isinstance(actual, dict), f"{where}: expected an object, got {actual!r}"
        for field, value in expected.items():
            if value is Absent:
                assert field not in actual, f"{where}: {field} is {actual[field]!r}"
            else:
                like(actual.get(field), value, f"{where}, {field}")
    elif isinstance(expected, list):
        assert isinstance(actual, list), f"{where}: expected a list, got {actual!r}"
        assert len(actual) == len(expected), f"{where}: expected {len(expected)} items, got {actual!r}"
        for number, value in enumerate(expected):
            like(actual[number], value, f"{where}, item {number}")
    else:
        # Python takes 1 for True.
        assert type(actual) is type(expected) and actual == expected, f"{where}: expected {expected!r}, got {actual!r}"
