"""replay.py URL TOKEN: requests of Terraform's provider and of gcrane, byte for byte. Run by clients/replay.

What stands between braces in a row of a table is filled in: names of this run, and what an answer before had.
"""
import base64
import http.client
import json
import re
import sys
import urllib.parse

from python_registry import BUILT_MS, OCI_MANIFEST, Answer, Image, Registry, check, run_checks, same
from replay_tables import Sent, like
from replay_terraform import DATA, REPOSITORY

url, token = sys.argv[1:]
host = urllib.parse.urlsplit(url).netloc
registry = Registry(url, token)
BASE = "projects/my-project/locations/us-west1"
first, second, other = Image(1), Image(2, layers=3), Image(3)
known = {
    "base": BASE, "first": first.digest, "second": second.digest, "other": other.digest,
    "first_size": first.size, "second_size": second.size, "other_size": other.size,
    "first_escaped": urllib.parse.quote(first.digest),
}
AGENTS = {
    "terraform": "Terraform/1.9.8 (+https://www.terraform.io) Terraform-Plugin-SDK/2.36.0 "
    "terraform-provider-google/6.20.0",
    "gcloud": "google-cloud-sdk gcloud/528.0.0 command/gcloud.artifacts.repositories.set-cleanup-policies",
    "gcrane": "go-containerregistry/v0.22.1",
}


def headers_of(client, length, credential):
    agent = AGENTS[client]
    if client == "gcloud":
        return [
            ("Host", host), ("user-agent", agent), ("accept-encoding", "gzip, deflate"), ("accept", "application/json"),
            ("content-length", str(length)), ("content-type", "application/json"), ("authorization", credential),
        ]
    # As Go writes them: what it sets itself, what it is told, and that it reads gzip.
    headers = [("Host", host), ("User-Agent", agent)]
    headers += [("Content-Length", str(length))] if length else []
    headers += [("Authorization", credential)] if credential else []
    headers += [("Content-Type", "application/json")] if client == "terraform" else []
    return [*headers, ("Accept-Encoding", "gzip")]


def send(client, method, path, body=None, credential=f"Bearer {token}"):
    """The request as that client writes it, on a connection of its own."""
    # Go's encoder sorts names, leaves no space, and ends with a line.
    text = "" if body is None else json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
    for letter in "<>&" if client == "terraform" else "":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    connection = http.client.HTTPConnection(host)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in headers_of(client, len(text.encode()), credential):
        connection.putheader(name, value)
    connection.endheaders(text.encode() or None)
    answer = Answer(connection.getresponse())
    connection.close()
    return answer


def filled(value):
    """What a row has, with the names of this run."""
    if isinstance(value, dict):
        return {field: filled(part) for field, part in value.items()}
    if isinstance(value, list):
        return [filled(part) for part in value]
    if isinstance(value, Sent):
        return Sent(filled(value.body))
    return re.sub(r"\{(\w+)\}", lambda found: str(known[found[1]]), value) if isinstance(value, str) else value


def row(what, client, method, path, body, status, expected):
    """A row of a table is a check."""

    @check(what)
    def asked():
        place = filled(path if path.startswith("/v1/") else f"/v1/{BASE}/{path}")
        answer = send(client, method, place, filled(body)).expect(status)
        same(answer.headers["content-type"].split(";")[0], "application/json")
        shown = answer.json()
        # For the rows that follow.
        for field in "name", "etag", "nextPageToken":
            known[field] = shown.get(field)
        like(shown, filled(expected))


def pushed(repository, *images):
    """A new repository with these images, the oldest first."""
    path = f"/v1/{BASE}/repositories?repositoryId={repository}"
    registry.send_json("POST", path, {"format": "DOCKER"}).expect(200)
    for image, tag, content in images:
        registry.push(f"my-project/{repository}/{image}", content, tag)


for line in REPOSITORY:
    row(*line)


@check("terraform: data, images to look at")
def push_for_data():
    pushed("data", ("a/b", "v1", first), ("a/b", "v2", second), ("plain", "v1", other))


for line in DATA:
    row(*line)


# --- gcrane

TREE = ["a", "a/b", "c", "deep/er/image"]


class Gcrane:
    """It asks for a token once, and again with what it is challenged for."""

    def __init__(self, name):
        self.scopes, self.service, self.token = [f"repository:{name}:pull"], None, None

    def challenged(self, answer):
        challenge = answer.expect(401).headers["www-authenticate"]
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        assert challenge.startswith("Bearer ") and fields["realm"] == f"{url}/v2/token", challenge
        if "scope" in fields and fields["scope"] not in self.scopes:
            self.scopes.insert(0, fields["scope"])
        query = [*(("scope", scope) for scope in self.scopes), ("service", fields.get("service", host))]
        query = urllib.parse.urlencode(query)
        basic = "Basic " + base64.b64encode(f"oauth2accesstoken:{token}".encode()).decode()
        self.token = send("gcrane", "GET", f"/v2/token?{query}", credential=basic).expect(200).json()["token"]

    def asks(self, name, query="n=1000"):
        if not self.token:
            self.challenged(send("gcrane", "GET", "/v2/", credential=None))
        path = f"/v2/{name}/tags/list?{query}"
        answer = send("gcrane", "GET", path, credential=f"Bearer {self.token}")
        if answer.status == 401:
            self.challenged(answer)
            answer = send("gcrane", "GET", path, credential=f"Bearer {self.token}")
        return answer

    def lists(self, name, query="n=1000"):
        shown = self.asks(name, query).expect(200).json()
        same(shown["name"], name)
        return shown


@check("gcrane: it is challenged, and what it looks at is pushed")
def challenged():
    pushed("tree", *((image, "v1", Image(seed)) for seed, image in enumerate(TREE)))
    registry.put("my-project/tree/a", "latest", Image(0)).expect(201)
    registry.push("my-project/tree/a", Image(9))
    error = send("gcrane", "GET", "/v2/", credential=None).expect(401).json()["errors"][0]
    same(error["code"], "UNAUTHORIZED")


@check("gcrane: ls of an image has its manifests")
def image_listed():
    gcrane = Gcrane("my-project/tree/a")
    # Of a host that it takes for Google's it asks for more at once.
    for query in "n=1000", "n=10000":
        shown = gcrane.lists("my-project/tree/a", query)
        same(sorted(shown["tags"]), ["latest", "v1"])
        manifest = shown["manifest"][Image(0).digest]
        same(sorted(manifest["tag"]), ["latest", "v1"])
        same((manifest["imageSizeBytes"], manifest["mediaType"]), (str(Image(0).size), OCI_MANIFEST))
        same(manifest["timeCreatedMs"], BUILT_MS)
        # One registry of Google's has text here, and the other a number.
        assert int(manifest["timeUploadedMs"]) > int(BUILT_MS), manifest


@check("gcrane: gc finds what has no tag")
def untagged():
    shown = Gcrane("my-project/tree/a").lists("my-project/tree/a")["manifest"]
    # What it deletes, and cleaners like it, they know from this list alone.
    same([digest for digest, manifest in shown.items() if not manifest["tag"]], [Image(9).digest])


@check("gcrane: ls of an image and what is below it")
def nested():
    same(Gcrane("my-project/tree/a").lists("my-project/tree/a")["child"], ["b"])
    shown = Gcrane("my-project/tree/a/b").lists("my-project/tree/a/b")
    same((shown["child"], shown["tags"], list(shown["manifest"])), ([], ["v1"], [Image(1).digest]))


@check("gcrane: ls -r sees every image once")
def walked():
    gcrane, seen = Gcrane("my-project/tree"), []

    def walk(name):
        shown = gcrane.lists(name)
        seen.extend([name] if shown["manifest"] else [])
        for child in shown["child"]:
            walk(f"{name}/{child}")

    walk("my-project/tree")
    same(sorted(seen), [f"my-project/tree/{image}" for image in TREE])


@check("gcrane: ls of what is not there")
def not_there():
    answer = Gcrane("my-project/tree/none").asks("my-project/tree/none")
    same(answer.expect(404).json()["errors"][0]["code"], "NAME_UNKNOWN")


sys.exit(0 if run_checks("") else 1)
