"""The server with its content, and the browsers of the viewers."""
import urllib.parse

from images import SBOM, SIGNATURE, app_image, app_index, attached
from registry import Image, Registry

PROJECT, OTHER_PROJECT, LOCATION = "my-project", "other-project", "us-west1"
REPOSITORY = f"{PROJECT}/my-repository"
PUBLIC = f"{PROJECT}/public"
APP, MANY = f"{REPOSITORY}/app", f"{REPOSITORY}/tools/many"
# More than a page shows.
MANY_TAGS = 60


class World:
    """A server that is filled, a browser with scripts, and one without."""

    def __init__(self, driver, arguments):
        self.url, self.has_people = arguments.url, bool(arguments.people)
        self.server, self.data, self.token = arguments.people or (None, None, None)
        self.screenshots, self.documentation = arguments.screenshots, arguments.documentation
        with open(arguments.axe) as file:
            self.axe = file.read()
        self.host = urllib.parse.urlsplit(self.url).netloc
        self.driver = driver
        self.browser, self.plain = driver.browser(), driver.browser(scripts=False)

    @property
    def registry(self):
        """A new connection: the server closes those that wait for long."""
        return Registry(self.url, self.token)

    def page(self, path=""):
        """Returns the address of a page of the console."""
        return f"{self.url}/console/{path}"

    def open(self, path, browser=None):
        browser = browser or self.browser
        browser.open(self.page(path))
        return browser

    def version(self, image, pushed):
        return f"{image}@{pushed.digest}"

    def create_repository(self, name, already=None, **fields):
        path = f"/v1/projects/{PROJECT}/locations/{LOCATION}/repositories?repositoryId={name}"
        answer = self.registry.send_json("POST", path, {"format": "DOCKER", **fields})
        return answer if answer.status == already else answer.expect_status(200)

    def fill(self):
        """Pushes what the checks look at, besides what real clients have pushed."""
        push = self.registry.push
        # With one project alone, the first page leads to it.
        self.registry.send_json("POST", "/v1/projects", {"projectId": OTHER_PROJECT}).expect_status(200)
        for name in "my-repository", "public":
            # A push makes them only with --dev.
            self.create_repository(name, already=409)
        push(f"{PUBLIC}/hello", Image("hello"), "v1")
        # Two images of one name.
        push(f"{PUBLIC}/app", Image("another app"), "v1")
        self.releases = [app_image(release) for release in ("1.0", "1.1")]
        for release, image in zip(("1.0", "1.1"), self.releases):
            push(APP, image, release)
        self.index, parts = app_index("2.0")
        for part in parts:
            push(APP, part)
        push(APP, self.index, "2.0", "latest")
        self.platform = parts[0]
        self.signature = attached(self.releases[1], SIGNATURE, b'{"critical":{}}')
        self.sbom = attached(self.releases[1], SBOM, b'{"spdxVersion":"SPDX-2.3"}')
        for made in self.signature, self.sbom:
            push(APP, made)
        # As tools tag attachments where a registry has no list of referrers.
        tag = self.releases[0].digest.replace(":", "-") + ".sig"
        push(APP, attached(self.releases[0], SIGNATURE, b'{"critical":{"old":1}}'), tag)
        for n in range(MANY_TAGS):
            push(MANY, Image(f"many {n}"), f"build-{n:04}")
        self.create_repository("empty", description="Nothing here yet")
        self.create_repository(
            "fixed", description="Tags stay where they are", dockerConfig={"immutableTags": True}
        )
        policy = {"id": "own", "repository": self.resource("my-repository"), "priority": 1}
        self.create_repository(
            "all", mode="VIRTUAL_REPOSITORY", virtualRepositoryConfig={"upstreamPolicies": [policy]}
        )

    def resource(self, repository):
        return f"projects/{PROJECT}/locations/{LOCATION}/repositories/{repository}"

    def seeds(self):
        """Returns the pages from which a walk begins: the first one, each kind of version, and what forms lead to."""
        versions = [self.releases[1], self.index, self.platform, self.signature]
        compared = f"{APP}/-/compare?a={self.releases[0].digest}&b={self.releases[1].digest}"
        return ["", *(self.version(APP, version) for version in versions), compared]
