"""Images, pushes by plain requests, and checks that are printed as the other suites print theirs.

Only Python's standard library: what is expected must not come from the library that is looked at.
"""
import gzip
import hashlib
import http.client
import json
import ssl
import sys
import traceback
import urllib.parse

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
# When every image here was built.
BUILT = "2024-02-29T12:00:00Z"
BUILT_MS = "1709208000000"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def descriptor(media_type, data, **more):
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data), **more}


class Image:
    """A manifest and its blobs, all of their own for each `seed`."""

    def __init__(self, seed, layers=2, media_types=(OCI_MANIFEST, OCI_CONFIG, OCI_LAYER), **more):
        self.media_type, config_type, layer_type = media_types
        config = {"architecture": "amd64", "os": "linux", "created": BUILT, "seed": seed}
        self.blobs = [json.dumps(config).encode()]
        self.blobs += [f"layer {n} of {seed} ".encode() * (n + 10) for n in range(layers)]
        content = {
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "config": descriptor(config_type, self.blobs[0]),
            "layers": [descriptor(layer_type, blob) for blob in self.blobs[1:]],
            **more,
        }
        self.finish(content)

    def finish(self, content):
        self.manifest = json.dumps(content, indent=1).encode()
        self.digest = digest_of(self.manifest)
        self.size = len(self.manifest) + sum(map(len, self.blobs))

    def described(self, **more):
        return descriptor(self.media_type, self.manifest, **more)


def docker_image(seed):
    return Image(seed, media_types=(DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER))


class Index(Image):
    """An index of descriptors."""

    def __init__(self, descriptors):
        self.media_type, self.blobs = OCI_INDEX, []
        self.finish({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": descriptors})


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()
        if self.headers.get("content-encoding") == "gzip":
            self.body = gzip.decompress(self.body)

    def json(self):
        return json.loads(self.body)

    def expect(self, status):
        assert self.status == status, f"expected {status}, got {self.status}: {self.body.decode(errors='replace')}"
        return self


class Registry:
    """A connection to `/v2/`, or whatever else is asked of that server."""

    def __init__(self, url, token=None):
        parts = urllib.parse.urlsplit(url)
        # Both take the certificates that SSL_CERT_FILE names.
        if parts.scheme == "https":
            self.connection = http.client.HTTPSConnection(parts.netloc, context=ssl.create_default_context())
        else:
            self.connection = http.client.HTTPConnection(parts.netloc)
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def send(self, method, path, body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, path, body, {**self.headers, **headers})
        return Answer(self.connection.getresponse())

    def send_json(self, method, path, body):
        return self.send(method, path, json.dumps(body), Content_Type="application/json")

    def push_blob(self, image, blob):
        place = self.send("POST", f"/v2/{image}/blobs/uploads/").expect(202).headers["location"]
        place += ("&" if "?" in place else "?") + "digest=" + urllib.parse.quote(digest_of(blob))
        self.send("PUT", place, blob, Content_Type="application/octet-stream").expect(201)

    def put(self, image, reference, pushed):
        """A manifest alone."""
        path = f"/v2/{image}/manifests/{reference}"
        return self.send("PUT", path, pushed.manifest, Content_Type=pushed.media_type)

    def push(self, image, pushed, *tags):
        """An image with its blobs, by its tags, or by its digest where there are none."""
        for blob in pushed.blobs:
            self.push_blob(image, blob)
        for reference in tags or [pushed.digest]:
            answer = self.put(image, reference, pushed).expect(201)
            same(answer.headers["docker-content-digest"], pushed.digest)

    def digest(self, image, reference):
        """What is pulled by that tag or digest: None when nothing is."""
        answer = self.send("GET", f"/v2/{image}/manifests/{reference}", Accept="*/*")
        return digest_of(answer.expect(200).body) if answer.status != 404 else None


def same(actual, expected):
    assert actual == expected, f"expected {expected!r}, got {actual!r}"


CHECKS = []


def check(what):
    """Remembers a function as a check."""
    return lambda function: CHECKS.append((what, function))


def run_checks(prefix, *arguments):
    """Runs what is remembered, and says whether all of it passed."""
    failures = 0
    for what, function in CHECKS:
        try:
            function(*arguments)
            print(f"ok      {prefix}{what}", flush=True)
        except Exception:
            failures += 1
            said = traceback.format_exc().strip().splitlines()[-30:]
            print("\n        ".join([f"FAILED  {prefix}{what}", *said]), flush=True)
    if not CHECKS:
        sys.exit("there is no check")
    return failures == 0
