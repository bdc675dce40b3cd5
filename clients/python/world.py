"""Google's library, signed in as several accounts, and repositories for its checks."""
import base64
import json

from google.api_core import exceptions
from google.cloud import artifactregistry_v1 as library
from google.auth.transport.requests import Request
from google.oauth2 import service_account

from checks import expect_equal
from registry import Registry

PROJECT, LOCATION = "my-project", "us-west1"
PARENT = f"projects/{PROJECT}/locations/{LOCATION}"
SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]
OPERATION = "type.googleapis.com/google.devtools.artifactregistry.v1.OperationMetadata"
EMPTY = "type.googleapis.com/google.protobuf.Empty"


class Server:
    """A server, and accounts that are named after the role that a check may give them."""

    def __init__(self, url, owner_key):
        self.url, self.endpoint = url, url.removeprefix("https://")
        with open(owner_key) as file:
            self.keys = {"owner": json.load(file)}
        self.registry = Registry(url, self.token("owner"))
        for role in "reader", "writer", "repoAdmin", "nobody":
            self.keys[role] = self.new_account(f"the-{role.lower()}")

    def token(self, account):
        """Returns an access token, from the address that the key file names."""
        credentials = service_account.Credentials.from_service_account_info(self.keys[account], scopes=SCOPES)
        credentials.refresh(Request())
        return credentials.token

    def new_account(self, name):
        accounts = f"/v1/projects/{PROJECT}/serviceAccounts"
        made = self.registry.send_json("POST", accounts, {"accountId": name}).expect_status(200).json()
        key = self.registry.send_json("POST", f"/v1/{made['name']}/keys", {}).expect_status(200).json()
        return json.loads(base64.b64decode(key["privateKeyData"]))

    def member(self, account):
        return f"serviceAccount:{self.keys[account]['client_email']}"


class World:
    """A server and one transport. `World.owner` and one field for each other account are clients of the library."""

    def __init__(self, server, transport):
        self.server, self.transport = server, transport
        self.registry, self.library = server.registry, library
        for account, key in server.keys.items():
            # Without scopes the library signs a token of its own, over both transports.
            credentials = service_account.Credentials.from_service_account_info(key)
            setattr(self, account, self.client(credentials))

    def client(self, credentials):
        options = {"api_endpoint": self.server.endpoint}
        return library.ArtifactRegistryClient(
            credentials=credentials, transport=self.transport, client_options=options
        )

    def repository(self, name, **fields):
        """Creates a repository for one check alone."""
        repository = library.Repository(format_=library.Repository.Format.DOCKER, **fields)
        made = finished(self.owner.create_repository(parent=PARENT, repository=repository, repository_id=self.id(name)))
        expect_equal(made.name, f"{PARENT}/repositories/{self.id(name)}")
        return Repository(self, made)

    def id(self, name):
        return f"{name}-{self.transport}"

    def expect_refused(self, kind, text, call, *arguments, **named):
        """Expects the call to raise an exception of this kind with the text in its message. Returns the exception."""
        try:
            answer = call(*arguments, **named)
        except exceptions.GoogleAPICallError as error:
            # Over REST the library knows only the HTTP status, and keeps the answer.
            if self.transport == "rest" and error.response is not None:
                expected = type(exceptions.from_http_status(kind.code, ""))
                expect_equal(error.response.json()["error"]["status"], kind.grpc_status_code.name)
            else:
                expected = kind
            assert type(error) is expected, f"expected {expected.__name__}, got {error!r}"
            assert text in error.message, f"expected {text!r} in {error.message!r}"
            return error
        raise AssertionError(f"the call was not refused: {answer!r}")


class Repository:
    """A repository: the names of its resources, and pushes to it."""

    def __init__(self, world, made):
        self.world, self.made, self.name = world, made, made.name
        self.path = f"{PROJECT}/{made.name.rsplit('/', 1)[1]}"

    def push(self, image, pushed, *tags):
        self.world.registry.push(f"{self.path}/{image}", pushed, *tags)
        return pushed

    def pulled(self, image, reference):
        return self.world.registry.digest(f"{self.path}/{image}", reference)

    def image(self, image, pushed):
        return f"{self.name}/dockerImages/{encoded(image)}@{pushed.digest}"

    def package(self, image):
        return f"{self.name}/packages/{encoded(image)}"

    def version(self, image, pushed):
        return f"{self.package(image)}/versions/{pushed.digest}"

    def tag(self, image, tag):
        return f"{self.package(image)}/tags/{tag}"

    def grant(self, account):
        """Gives the account the role that it is named after."""
        policy = self.world.owner.get_iam_policy(request={"resource": self.name})
        role = f"roles/artifactregistry.{account}"
        policy.bindings.add(role=role, members=[self.world.server.member(account)])
        self.world.owner.set_iam_policy(request={"resource": self.name, "policy": policy})


def encoded(image):
    return image.replace("/", "%2F")


def names(items):
    return [item.name for item in items]


def finished(operation):
    return operation.result(timeout=30)


def every_page(call, size, **request):
    """Returns all items of a list, read in pages of at most `size`."""
    items = []
    for page in call(request={**request, "page_size": size}).pages:
        found = getattr(page, next(iter(type(page).meta.fields)))
        assert len(found) <= size, f"a page of at most {size} items has {len(found)}"
        items += found
    return items
