//! Every route of the console with every kind of viewer: what each may open, and what each may change.

use std::collections::BTreeSet;

use super::{Browser, REPOSITORY, form_token, person_with};
use crate::util::accounts::{ORGANIZATION, PROJECT};
use crate::util::google::repository_name;
use crate::util::{AccountServer, Image, Reply, digest_of, on_both};

const IMAGE: &str = "my-project/my-repo/app";

on_both![
    attack_14_every_route_asks_for_its_permission,
    everybody_sees_what_is_public,
    pages_have_only_buttons_that_work
];

/// A viewer, and what that viewer may do in the repository.
struct Viewer {
    name: &'static str,
    browser: Browser,
    may_read: bool,
    may_change: bool,
    sees_project: bool,
}

async fn viewers_of(accounts: &AccountServer) -> Vec<Viewer> {
    let resource = repository_name(PROJECT, REPOSITORY);
    let project = format!("projects/{PROJECT}");
    let sibling = repository_name(PROJECT, "sibling");
    let mut viewers = vec![Viewer {
        name: "signed out",
        browser: Browser::new(&accounts.server),
        may_read: false,
        may_change: false,
        sees_project: false,
    }];
    for (name, role, resource, may_read, may_change) in [
        ("stranger", "roles/artifactregistry.repoAdmin", &sibling, false, false),
        ("reader", "roles/artifactregistry.reader", &resource, true, false),
        ("writer", "roles/artifactregistry.writer", &resource, true, false),
        ("repo-admin", "roles/artifactregistry.repoAdmin", &resource, true, true),
        ("project-viewer", "roles/viewer", &project, true, false),
        ("owner", "roles/owner", &ORGANIZATION.to_owned(), true, true),
    ] {
        let browser = person_with(accounts, &format!("{name}@example.com"), (role, resource)).await;
        let sees_project = *resource == project || *resource == ORGANIZATION;
        viewers.push(Viewer { name, browser, may_read, may_change, sees_project });
    }
    viewers
}

/// The kind of answer to a request for a page.
fn outcome(reply: &Reply) -> &'static str {
    match reply.status.as_u16() {
        200 => "shown",
        303 if reply.header("location").starts_with("/console/-/sign-in") => "sign in",
        303 => "done",
        403 => "forbidden",
        404 => "nothing",
        other => panic!("{other}: {reply:?}"),
    }
}

async fn attack_14_every_route_asks_for_its_permission(accounts: AccountServer) {
    accounts.create_repository(PROJECT, REPOSITORY).await;
    accounts.create_repository(PROJECT, "sibling").await;
    let (client, image) = (&accounts.owner.client, Image::new(1));
    image.push(client, (IMAGE, "v1")).await;
    let digest = image.digest();
    let mut asked = BTreeSet::new();
    for mut viewer in viewers_of(&accounts).await {
        for route in berth_server::routes::console_routes().declared() {
            let path = route
                .path
                .replace("{project}", "my-project")
                .replace("{repository}", "my-project/my-repo")
                .replace("{image}", IMAGE)
                .replace("{version}", &format!("{IMAGE}@{digest}"));
            let path = match route.path {
                path if path.ends_with("/compare") => {
                    format!("/console/{IMAGE}/-/compare?a={digest}&b={digest}")
                }
                _ => path,
            };
            let about_registry = route.path.starts_with("/console/{");
            if !about_registry || route.path.ends_with("/upstreams") {
                continue;
            }
            for method in route.methods.split(' ').filter(|method| *method != "HEAD") {
                asked.insert(format!("{method} {}", route.path));
                let is_delete = route.path.ends_with("/delete");
                let expected = match (method, route.path, &viewer) {
                    (_, _, Viewer { name: "signed out", .. }) => "sign in",
                    (_, "/console/{project}", Viewer { sees_project: true, .. }) => "shown",
                    (_, "/console/{project}", _) => "nothing",
                    (_, _, Viewer { may_read: false, .. }) => "nothing",
                    // A writer may set tags, and delete nothing.
                    ("POST", "/console/{image}/-/tags", Viewer { name: "writer", .. }) => "done",
                    ("POST", _, Viewer { may_change: true, .. }) if is_delete => continue,
                    (
                        "POST",
                        "/console/{image}/-/deletion-plan",
                        Viewer { may_change: true, .. },
                    ) => "shown",
                    ("POST", _, Viewer { may_change: true, .. }) => "done",
                    ("POST", _, _) => "forbidden",
                    _ => "shown",
                };
                let reply = match method {
                    "GET" => viewer.browser.get(&path).await,
                    _ => {
                        let page = viewer.browser.get("/console/-/sign-in").await;
                        let token = match page.status.as_u16() {
                            200 => form_token(&page.text()),
                            _ => form_token(&viewer.browser.open("/console/-/you").await),
                        };
                        let fields = [
                            ("token", token.as_str()),
                            ("action", "set"),
                            ("tag", "v2"),
                            ("digest", &digest),
                            ("plan", "none"),
                        ];
                        let action = path.split('?').next().expect("a path");
                        viewer.browser.post(action, &fields).await
                    }
                };
                let line = format!("{} {method} {path}", viewer.name);
                let is_file = route.path.contains(".csv")
                    || route.path.ends_with("/manifest")
                    || route.path.ends_with("/config");
                let actual = outcome(&reply);
                assert_eq!(actual, expected, "{line} {is_file}: {reply:?}");
            }
        }
    }
    assert!(asked.len() > 14, "{asked:?}");
}

async fn everybody_sees_what_is_public(accounts: AccountServer) {
    accounts.create_repository(PROJECT, REPOSITORY).await;
    accounts.create_repository(PROJECT, "private").await;
    let image = Image::new(1);
    image.push(&accounts.owner.client, (IMAGE, "v1")).await;
    let resource = repository_name(PROJECT, REPOSITORY);
    accounts.owner.grant_role(&resource, "roles/artifactregistry.reader", "allUsers").await;
    let mut nobody = Browser::new(&accounts.server);
    let page = nobody.open("/console/my-project/my-repo/app").await;
    assert!(page.contains(">v1</a>") && page.contains("You are not signed in"), "{page}");
    assert!(page.contains("/console/-/sign-in?next="), "{page}");
    // Who did what is for those who are signed in.
    assert!(!page.contains("/-/activity") && !page.contains("/-/history"), "{page}");
    for people in ["/-/history", "/-/activity"] {
        let reply = nobody.get(&format!("/console/my-project/my-repo/app{people}")).await;
        assert!(reply.header("location").starts_with("/console/-/sign-in"), "{reply:?}");
    }
    // The project is not public, so that nothing leads to it.
    assert!(!page.contains("href=\"/console/my-project\""), "{page}");
    nobody.open(&format!("/console/my-project/my-repo/app@{}", image.digest())).await;
    for hidden in ["/console/my-project", "/console/my-project/private", "/console/my-project/gone"]
    {
        let reply = nobody.get(hidden).await;
        assert!(reply.header("location").starts_with("/console/-/sign-in"), "{hidden}: {reply:?}");
    }
}

async fn pages_have_only_buttons_that_work(accounts: AccountServer) {
    accounts.create_repository(PROJECT, REPOSITORY).await;
    accounts.create_repository(PROJECT, "sibling").await;
    let image = Image::new(1);
    image.push(&accounts.owner.client, (IMAGE, "v1")).await;
    let page = format!("/console/{IMAGE}@{}", image.digest());
    for mut viewer in viewers_of(&accounts).await.into_iter().filter(|viewer| viewer.may_read) {
        let html = viewer.browser.open(&page).await;
        let sets_tags = viewer.may_change || viewer.name == "writer";
        assert_eq!(html.contains(">Add a tag</button>"), sets_tags, "{}", viewer.name);
        assert_eq!(html.contains(">Remove tag</button>"), viewer.may_change, "{}", viewer.name);
        assert_eq!(html.contains("/-/deletion-plan"), viewer.may_change, "{}", viewer.name);
        let list = viewer.browser.open(&format!("/console/{IMAGE}")).await;
        assert_eq!(list.contains(">Delete the selected<"), viewer.may_change, "{}", viewer.name);
    }
    // What a viewer may not see, and what is not there, have one answer.
    let absent = format!("/console/{IMAGE}@{}", digest_of("absent"));
    let mut stranger = Browser::signed_in(&accounts.server, "nobody@example.com").await;
    let (hidden, missing) = (stranger.get(&page).await, stranger.get(&absent).await);
    assert_eq!((hidden.status.as_u16(), missing.status.as_u16()), (404, 404));
}
