"""Google's other library for Python. It makes its methods from a description of the API, and sends long lists as POST."""
import google_auth_httplib2
import httplib2
from google.oauth2 import service_account
from googleapiclient import http
from googleapiclient.discovery import build

from checks import check, expect_equal
from registry import Image
from world import SCOPES


class RecordingHttp(httplib2.Http):
    """Records of each request: its method, the method that it stands for, and whether it has a query."""

    def __init__(self):
        super().__init__()
        self.sent = []

    def request(self, uri, method="GET", body=None, headers=None, **more):
        overridden = (headers or {}).get("x-http-method-override")
        self.sent.append((method, overridden, "?" in uri))
        return super().request(uri, method=method, body=body, headers=headers, **more)


def described_api(world, account):
    """Returns the repositories of the described API, and the object that records its requests."""
    key = service_account.Credentials.from_service_account_info(world.server.keys[account], scopes=SCOPES)
    watched = RecordingHttp()
    authorized = google_auth_httplib2.AuthorizedHttp(key, http=watched)
    options = {"api_endpoint": world.server.url}
    api = build("artifactregistry", "v1", http=authorized, static_discovery=True, client_options=options)
    return api.projects().locations().repositories(), watched


@check("google-api-python-client: a list whose address would be too long is sent as POST, and has the same items")
def long_list(world):
    repository = world.repository("long-list")
    for seed, image in enumerate(("api", "web")):
        repository.push(image, Image(seed), "v1")
    repositories, watched = described_api(world, "owner")
    short = repositories.packages().list(parent=repository.name, pageSize=1).execute()
    expect_equal(watched.sent[-1][:2], ("GET", None))
    # The server ignores this parameter, which makes the address long.
    request = repositories.packages().list(parent=repository.name, pageSize=1, quotaUser="q" * http.MAX_URI_LENGTH)
    long = request.execute()
    expect_equal(watched.sent[-1], ("POST", "GET", False))
    expect_equal(long["packages"], short["packages"])
    following = repositories.packages().list_next(request, long)
    second = following.execute()
    expect_equal([package["name"] for package in second["packages"]], [repository.package("web")])


@check("google-api-python-client: a field is changed, and an unknown field is refused")
def described_changes(world):
    repository = world.repository("described-changes")
    repositories, _ = described_api(world, "owner")
    changed = repositories.patch(name=repository.name, updateMask="description", body={"description": "new"}).execute()
    expect_equal(changed["description"], "new")
    try:
        repositories.patch(name=repository.name, body={"dockerconfig": {"immutableTags": True}}).execute()
    except Exception as error:
        expect_equal(error.status_code, 400)
        assert "Unknown name \"dockerconfig\" at 'repository': Cannot find field." in str(error), error
    else:
        raise AssertionError("the change was not refused")
