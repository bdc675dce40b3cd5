"""Google's other library for Python, which makes its methods from a description of the API: long lists as POST."""
import google_auth_httplib2
import httplib2
from google.oauth2 import service_account
from googleapiclient import http
from googleapiclient.discovery import build

from python_registry import Image, check, same
from python_world import SCOPES


class Watched(httplib2.Http):
    """What is sent: method and what it stands for."""

    def __init__(self):
        super().__init__()
        self.sent = []

    def request(self, uri, method="GET", body=None, headers=None, **more):
        meant = (headers or {}).get("x-http-method-override")
        self.sent.append((method, meant, "?" in uri))
        return super().request(uri, method=method, body=body, headers=headers, **more)


def described_api(world, account):
    """The API as the library that comes with its description has it, and what is sent by it."""
    key = service_account.Credentials.from_service_account_info(world.server.keys[account], scopes=SCOPES)
    watched = Watched()
    authorized = google_auth_httplib2.AuthorizedHttp(key, http=watched)
    options = {"api_endpoint": world.server.url}
    api = build("artifactregistry", "v1", http=authorized, static_discovery=True, client_options=options)
    return api.projects().locations().repositories(), watched


@check("google-api-python-client: a list whose address would be too long goes as POST, and is the same list")
def long_list(world):
    repository = world.repository("long-list")
    for seed, image in enumerate(("api", "web")):
        repository.push(image, Image(seed), "v1")
    repositories, watched = described_api(world, "owner")
    short = repositories.packages().list(parent=repository.name, pageSize=1).execute()
    same(watched.sent[-1][:2], ("GET", None))
    # A key of the caller's counts for nothing, and makes the address long.
    request = repositories.packages().list(parent=repository.name, pageSize=1, quotaUser="q" * http.MAX_URI_LENGTH)
    long = request.execute()
    same(watched.sent[-1], ("POST", "GET", False))
    same(long["packages"], short["packages"])
    following = repositories.packages().list_next(request, long)
    second = following.execute()
    same([package["name"] for package in second["packages"]], [repository.package("web")])


@check("google-api-python-client: changes, and what is no field")
def described_changes(world):
    repository = world.repository("described-changes")
    repositories, _ = described_api(world, "owner")
    changed = repositories.patch(name=repository.name, updateMask="description", body={"description": "new"}).execute()
    same(changed["description"], "new")
    try:
        repositories.patch(name=repository.name, body={"dockerconfig": {"immutableTags": True}}).execute()
    except Exception as error:
        same(error.status_code, 400)
        assert "Unknown name \"dockerconfig\" at 'repository': Cannot find field." in str(error), error
    else:
        raise AssertionError("was not refused")
