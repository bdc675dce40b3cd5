"""main.py URL TOKEN: requests of Terraform's provider and of gcrane, byte for byte. Run by clients/replay/run.

Words between braces in a row of a table are replaced: by names of this run, and by fields of earlier answers.
"""
import base64
import http.client
import json
import re
import sys
import urllib.parse

from checks import check, expect_equal, run_checks
from registry import BUILT_MS, OCI_MANIFEST, Answer, Image, Registry
from tables import AsSent, expect_like
from terraform import DATA, REPOSITORY

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
    # In the order of Go: its own headers, those of the caller, and that it reads gzip.
    headers = [("Host", host), ("User-Agent", agent)]
    headers += [("Content-Length", str(length))] if length else []
    headers += [("Authorization", credential)] if credential else []
    headers += [("Content-Type", "application/json")] if client == "terraform" else []
    return [*headers, ("Accept-Encoding", "gzip")]


def send(client, method, path, body=None, credential=f"Bearer {token}"):
    """Sends a request as the client writes it, on a connection of its own."""
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


def fill_in(value):
    """Returns a value of a row with every word between braces replaced."""
    if isinstance(value, dict):
        return {field: fill_in(part) for field, part in value.items()}
    if isinstance(value, list):
        return [fill_in(part) for part in value]
    if isinstance(value, AsSent):
        return AsSent(fill_in(value.body))
    return re.sub(r"\{(\w+)\}", lambda found: str(known[found[1]]), value) if isinstance(value, str) else value


def add_check(title, client, method, path, body, status, expected):
    """Registers a row of a table as a check."""

    @check(title)
    def asked():
        target = fill_in(path if path.startswith("/v1/") else f"/v1/{BASE}/{path}")
        answer = send(client, method, target, fill_in(body)).expect_status(status)
        expect_equal(answer.headers["content-type"].split(";")[0], "application/json")
        shown = answer.json()
        # Later rows may name these fields.
        for field in "name", "etag", "nextPageToken":
            known[field] = shown.get(field)
        expect_like(shown, fill_in(expected))


def push_to_new_repository(repository, *images):
    """Creates a repository and pushes these images to it, the oldest first."""
    path = f"/v1/{BASE}/repositories?repositoryId={repository}"
    registry.send_json("POST", path, {"format": "DOCKER"}).expect_status(200)
    for image, tag, content in images:
        registry.push(f"my-project/{repository}/{image}", content, tag)


for line in REPOSITORY:
    add_check(*line)


@check("terraform: data, images to look at")
def push_for_data():
    push_to_new_repository("data", ("a/b", "v1", first), ("a/b", "v2", second), ("plain", "v1", other))


for line in DATA:
    add_check(*line)


# --- gcrane

TREE = ["a", "a/b", "c", "deep/er/image"]


class Gcrane:
    """gcrane, which asks for a token once, and again when it is challenged for another scope."""

    def __init__(self, name):
        self.scopes, self.service, self.token = [f"repository:{name}:pull"], None, None

    def answer_challenge(self, answer):
        challenge = answer.expect_status(401).headers["www-authenticate"]
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        assert challenge.startswith("Bearer ") and fields["realm"] == f"{url}/v2/token", challenge
        if "scope" in fields and fields["scope"] not in self.scopes:
            self.scopes.insert(0, fields["scope"])
        query = [*(("scope", scope) for scope in self.scopes), ("service", fields.get("service", host))]
        query = urllib.parse.urlencode(query)
        basic = "Basic " + base64.b64encode(f"oauth2accesstoken:{token}".encode()).decode()
        self.token = send("gcrane", "GET", f"/v2/token?{query}", credential=basic).expect_status(200).json()["token"]

    def ask_for_tags(self, name, query="n=1000"):
        if not self.token:
            self.answer_challenge(send("gcrane", "GET", "/v2/", credential=None))
        path = f"/v2/{name}/tags/list?{query}"
        answer = send("gcrane", "GET", path, credential=f"Bearer {self.token}")
        if answer.status == 401:
            self.answer_challenge(answer)
            answer = send("gcrane", "GET", path, credential=f"Bearer {self.token}")
        return answer

    def list_tags(self, name, query="n=1000"):
        shown = self.ask_for_tags(name, query).expect_status(200).json()
        expect_equal(shown["name"], name)
        return shown


@check("gcrane: a first request is challenged, and images are pushed")
def challenged():
    push_to_new_repository("tree", *((image, "v1", Image(seed)) for seed, image in enumerate(TREE)))
    registry.put("my-project/tree/a", "latest", Image(0)).expect_status(201)
    registry.push("my-project/tree/a", Image(9))
    error = send("gcrane", "GET", "/v2/", credential=None).expect_status(401).json()["errors"][0]
    expect_equal(error["code"], "UNAUTHORIZED")


@check("gcrane: ls of an image shows its manifests")
def image_listed():
    gcrane = Gcrane("my-project/tree/a")
    # gcrane asks a host that it takes for Google's for longer pages.
    for query in "n=1000", "n=10000":
        shown = gcrane.list_tags("my-project/tree/a", query)
        expect_equal(sorted(shown["tags"]), ["latest", "v1"])
        manifest = shown["manifest"][Image(0).digest]
        expect_equal(sorted(manifest["tag"]), ["latest", "v1"])
        expect_equal((manifest["imageSizeBytes"], manifest["mediaType"]), (str(Image(0).size), OCI_MANIFEST))
        expect_equal(manifest["timeCreatedMs"], BUILT_MS)
        # One registry of Google's has text in this field, and the other a number.
        assert int(manifest["timeUploadedMs"]) > int(BUILT_MS), manifest


@check("gcrane: gc finds manifests without tags")
def untagged():
    shown = Gcrane("my-project/tree/a").list_tags("my-project/tree/a")["manifest"]
    # gcrane gc, and other cleaners, delete by this list alone.
    expect_equal([digest for digest, manifest in shown.items() if not manifest["tag"]], [Image(9).digest])


@check("gcrane: ls of an image shows images below its name")
def nested():
    expect_equal(Gcrane("my-project/tree/a").list_tags("my-project/tree/a")["child"], ["b"])
    shown = Gcrane("my-project/tree/a/b").list_tags("my-project/tree/a/b")
    expect_equal((shown["child"], shown["tags"], list(shown["manifest"])), ([], ["v1"], [Image(1).digest]))


@check("gcrane: ls -r sees every image once")
def walked():
    gcrane, seen = Gcrane("my-project/tree"), []

    def walk(name):
        shown = gcrane.list_tags(name)
        seen.extend([name] if shown["manifest"] else [])
        for child in shown["child"]:
            walk(f"{name}/{child}")

    walk("my-project/tree")
    expect_equal(sorted(seen), [f"my-project/tree/{image}" for image in TREE])


@check("gcrane: ls of an image that does not exist is refused")
def not_there():
    answer = Gcrane("my-project/tree/none").ask_for_tags("my-project/tree/none")
    expect_equal(answer.expect_status(404).json()["errors"][0]["code"], "NAME_UNKNOWN")


sys.exit(0 if run_checks("") else 1)
