"""Images, and a registry that takes and gives them by plain requests.

Only Python's standard library, because expected values must not come from the library under test.
"""
import gzip
import hashlib
import http.client
import json
import ssl
import urllib.parse

from checks import expect_equal

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
# The build time of every image here.
BUILT = "2024-02-29T12:00:00Z"
BUILT_MS = "1709208000000"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def descriptor(media_type, data, **more):
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data), **more}


class Image:
    """A manifest and its blobs, which differ for each `seed`."""

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
    """The answer to a request, with its body decompressed."""

    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()
        if self.headers.get("content-encoding") == "gzip":
            self.body = gzip.decompress(self.body)

    def json(self):
        return json.loads(self.body)

    def expect_status(self, status):
        assert self.status == status, f"expected status {status}, got {self.status}: {self.body.decode(errors='replace')}"
        return self


class Registry:
    """A connection to a server, for `/v2/` and for other paths."""

    def __init__(self, url, token=None):
        parts = urllib.parse.urlsplit(url)
        # The default context takes the certificates that SSL_CERT_FILE names, as the library does.
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
        location = self.send("POST", f"/v2/{image}/blobs/uploads/").expect_status(202).headers["location"]
        location += ("&" if "?" in location else "?") + "digest=" + urllib.parse.quote(digest_of(blob))
        self.send("PUT", location, blob, Content_Type="application/octet-stream").expect_status(201)

    def put(self, image, reference, pushed):
        """Pushes a manifest alone."""
        path = f"/v2/{image}/manifests/{reference}"
        return self.send("PUT", path, pushed.manifest, Content_Type=pushed.media_type)

    def push(self, image, pushed, *tags):
        """Pushes an image with its blobs, by its tags, or by its digest where it has no tags."""
        for blob in pushed.blobs:
            self.push_blob(image, blob)
        for reference in tags or [pushed.digest]:
            answer = self.put(image, reference, pushed).expect_status(201)
            expect_equal(answer.headers["docker-content-digest"], pushed.digest)

    def digest(self, image, reference):
        """Returns the digest of the manifest that a tag or digest names, or None where it names nothing."""
        answer = self.send("GET", f"/v2/{image}/manifests/{reference}", Accept="*/*")
        return digest_of(answer.expect_status(200).body) if answer.status != 404 else None
