"""The images of the suite: a usual one, an index with attestations, what is attached to an image, and hostile ones."""
import json

from registry import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, Image, Index, descriptor, digest_of

EMPTY_CONFIG = "application/vnd.oci.empty.v1+json"
IN_TOTO = "application/vnd.in-toto+json"
SIGNATURE = "application/vnd.dev.cosign.artifact.sig.v1+json"
SBOM = "application/spdx+json"


class BuiltImage(Image):
    """An image with the config and the layers that it is given."""

    def __init__(self, config, layers, layer_type=OCI_LAYER, config_type=OCI_CONFIG, **more):
        self.media_type = OCI_MANIFEST
        self.blobs = [json.dumps(config).encode(), *layers]
        self.finish({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor(config_type, self.blobs[0]),
            "layers": [descriptor(layer_type, layer) for layer in layers],
            **more,
        })


def app_config(release, architecture="amd64"):
    """Returns the config of a usual image, as a build makes it from a Dockerfile."""
    steps = [
        ("/bin/sh -c #(nop) ADD file:6ebbc8f2 in / ", False),
        ('/bin/sh -c #(nop)  CMD ["/bin/sh"]', True),
        ("RUN /bin/sh -c apk add --no-cache ca-certificates tzdata # buildkit", False),
        ("COPY app /usr/local/bin/app # buildkit", False),
        ("USER 10001", True),
        ('ENTRYPOINT ["/usr/local/bin/app"]', True),
    ]
    return {
        "architecture": architecture,
        "os": "linux",
        "created": "2026-02-28T23:30:15Z",
        "author": "The app's makers <app@example.com>",
        "config": {
            "User": "10001",
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "TZ=UTC", f"APP_RELEASE={release}"],
            "Entrypoint": ["/usr/local/bin/app"],
            "Cmd": ["--listen", "0.0.0.0:8080"],
            "ExposedPorts": {"8080/tcp": {}},
            "WorkingDir": "/srv",
            "Labels": {
                "org.opencontainers.image.source": "https://example.com/app/source",
                "org.opencontainers.image.version": release,
            },
        },
        "history": [
            {"created": "2026-02-28T23:30:15Z", "created_by": step, **({"empty_layer": True} if is_empty else {})}
            for step, is_empty in steps
        ],
    }


def app_image(release, architecture="amd64"):
    layers = [b"base of every release " * 150_000, b"certificates " * 20_000, f"app {release} {architecture} ".encode() * 40_000]
    return BuiltImage(app_config(release, architecture), layers)


def attestation(subject):
    """Returns what BuildKit adds to an index: a manifest for no platform, which is about another one."""
    config = {"architecture": "unknown", "os": "unknown", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}}
    statement = json.dumps({"_type": "https://in-toto.io/Statement/v0.1", "subject": subject.digest}).encode()
    return BuiltImage(config, [statement], layer_type=IN_TOTO)


def app_index(release):
    """Returns an index of two platforms with their attestations, and the images that it names."""
    images = [app_image(release, architecture) for architecture in ("amd64", "arm64")]
    attestations = [attestation(image) for image in images]
    platforms = [
        image.described(platform={"architecture": architecture, "os": "linux"})
        for image, architecture in zip(images, ("amd64", "arm64"))
    ]
    others = [
        made.described(
            platform={"architecture": "unknown", "os": "unknown"},
            annotations={"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image.digest},
        )
        for made, image in zip(attestations, images)
    ]
    return Index(platforms + others), images + attestations


def attached(subject, artifact_type, content):
    """Returns something that is attached to an image: a signature, a list of its parts."""
    return BuiltImage(
        {}, [content], layer_type=artifact_type, config_type=EMPTY_CONFIG,
        artifactType=artifact_type, subject=subject.described(),
    )
