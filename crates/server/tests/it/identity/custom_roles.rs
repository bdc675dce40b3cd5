//! Custom roles: their life, what they grant and where, and what is refused.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use identity::{Identity, IdentitySettings, MasterKey};
use meta::roles::RoleRow;
use serde_json::{Value, json};

use super::bad_input::expect_field_named;
use crate::util::accounts::{
    ORGANIZATION, PROJECT, granted_permissions, sign_in, test_permissions,
};
use crate::util::google::repository_name;
use crate::util::{AccountServer, GoogleClient, on_both};

const PARENT: &str = "projects/my-project";
const PULL: &str = "artifactregistry.repositories.downloadArtifacts";
const LIST: &str = "artifactregistry.repositories.list";

on_both![
    a_role_is_created_changed_deleted_and_restored,
    an_outdated_role_is_not_written,
    roles_are_listed_in_pages,
    roles_grant_on_every_level,
    a_role_is_granted_only_where_it_belongs,
    a_deleted_role_stays_in_policies_and_is_not_granted_again,
    invalid_roles_are_refused,
    a_project_has_three_hundred_roles,
    a_deleted_role_is_forgotten_with_its_bindings,
    grantable_roles_and_testable_permissions_are_listed
];

async fn create(owner: &GoogleClient, parent: &str, id: &str) -> String {
    owner.create_role(parent, id, &[PULL]).await.expect_status(200);
    format!("{parent}/roles/{id}")
}

async fn read(owner: &GoogleClient, role: &str) -> Value {
    owner.get(&format!("/v1/{role}")).await.expect_status(200).json()
}

async fn ids_at(owner: &GoogleClient, path: &str) -> Vec<String> {
    let answer = owner.get(path).await.expect_status(200).json();
    let names = answer["roles"].as_array().into_iter().flatten();
    names.map(|role| role["name"].as_str().expect("text").to_owned()).collect()
}

/// gcloud refuses an etag whose base64 has no padding.
#[track_caller]
fn expect_padded_etag(role: &Value) -> String {
    let etag = role["etag"].as_str().expect("text");
    assert!(etag.ends_with('='), "{etag}");
    assert_eq!(STANDARD.decode(etag).expect("base64").len(), 8, "{etag}");
    etag.to_owned()
}

async fn a_role_is_created_changed_deleted_and_restored(accounts: AccountServer) {
    let owner = &accounts.owner;
    for parent in [PARENT, ORGANIZATION] {
        let (collection, name) = (format!("/v1/{parent}/roles"), format!("{parent}/roles/Own_1.x"));
        let path = format!("/v1/{name}");
        let role = json!({
            "title": "Own", "description": "Reads.", "includedPermissions": [PULL, LIST, PULL],
            "name": "ignored", "deleted": true,
        });
        let body = json!({ "roleId": "Own_1.x", "role": role });
        let created = owner.post(&collection, &body).await.expect_status(200).json();
        let expected = json!({
            "name": name, "title": "Own", "description": "Reads.", "stage": "ALPHA",
            "includedPermissions": [PULL, LIST], "etag": expect_padded_etag(&created),
        });
        assert_eq!(created, expected);
        assert_eq!(read(owner, &name).await, expected);
        owner.post(&collection, &body).await.expect_google_error("409 ALREADY_EXISTS");

        let mut expected = expected;
        for (mask, change, field, value) in [
            ("title", json!({ "title": "Two", "description": "Not." }), "title", json!("Two")),
            ("stage", json!({ "stage": "BETA" }), "stage", json!("BETA")),
            (
                "includedPermissions",
                json!({ "includedPermissions": [LIST], "title": "Not." }),
                "includedPermissions",
                json!([LIST]),
            ),
            ("", json!({ "description": "Lists." }), "description", json!("Lists.")),
        ] {
            let query = if mask.is_empty() { String::new() } else { format!("?updateMask={mask}") };
            let changed = owner.patch(&format!("{path}{query}"), &change).await;
            let changed = changed.expect_status(200).json();
            assert_ne!(changed["etag"], expected["etag"]);
            expected[field] = value;
            expected["etag"] = json!(expect_padded_etag(&changed));
            assert_eq!(changed, expected, "{mask}");
            assert_eq!(read(owner, &name).await, expected, "{mask}");
        }

        let undelete = format!("{path}:undelete");
        owner.post(&undelete, &json!({})).await.expect_google_error("400 FAILED_PRECONDITION");
        let deleted = owner.delete(&path).await.expect_status(200).json();
        assert_eq!((&deleted["deleted"], &deleted["title"]), (&json!(true), &json!("Two")));
        assert_eq!(read(owner, &name).await, deleted);
        assert!(ids_at(owner, &collection).await.is_empty());
        assert_eq!(ids_at(owner, &format!("{collection}?showDeleted=true")).await, [&*name]);
        for refused in [
            owner.delete(&path).await,
            owner.patch(&path, &json!({ "title": "Three" })).await,
            owner.post(&collection, &body).await,
        ] {
            let text = refused.text().into_owned();
            refused.expect_google_error("400 FAILED_PRECONDITION");
            assert!(
                text.contains("role_id (Own_1.x) which has been marked for deletion"),
                "{text}"
            );
        }
        let restored = owner.post(&undelete, &json!({})).await.expect_status(200).json();
        expected["etag"] = json!(expect_padded_etag(&restored));
        assert_eq!(restored, expected);
        assert_eq!(ids_at(owner, &collection).await, [&*name]);
    }
}

async fn an_outdated_role_is_not_written(accounts: AccountServer) {
    let owner = &accounts.owner;
    let role = create(owner, PARENT, "own").await;
    let (path, seen) = (format!("/v1/{role}"), read(owner, &role).await["etag"].clone());
    let rename = |title: &str, etag: &Value| json!({ "title": title, "etag": etag });
    owner.patch(&path, &rename("Two", &seen)).await.expect_status(200);
    let kept = read(owner, &role).await;
    let etag = seen.as_str().expect("text").replace('+', "%2B").replace('=', "%3D");
    for refused in [
        owner.patch(&path, &rename("Three", &seen)).await,
        owner.delete(&format!("{path}?etag={etag}")).await,
    ] {
        refused.expect_google_error("409 ABORTED");
    }
    assert_eq!(read(owner, &role).await, kept);
    let changes = (0..4).map(|number| {
        let (path, change) = (path.clone(), rename(&format!("{number}"), &kept["etag"]));
        async move { owner.patch(&path, &change).await.google_outcome() }
    });
    let mut outcomes = futures_util::future::join_all(changes).await;
    outcomes.sort();
    assert_eq!(outcomes, ["200", "409 ABORTED", "409 ABORTED", "409 ABORTED"]);
    owner.delete(&path).await.expect_status(200);
    let undelete = async |etag: &Value| {
        owner.post(&format!("{path}:undelete"), &json!({ "etag": etag })).await
    };
    undelete(&kept["etag"]).await.expect_google_error("409 ABORTED");
    undelete(&read(owner, &role).await["etag"]).await.expect_status(200);
}

async fn roles_are_listed_in_pages(accounts: AccountServer) {
    let owner = &accounts.owner;
    let mut custom = Vec::new();
    for id in ["a.1", "b_2", "ccc"] {
        custom.push(create(owner, PARENT, id).await);
    }
    create(owner, ORGANIZATION, "other").await;
    let predefined: Vec<_> = model::role::all_roles().map(|role| role.name.to_owned()).collect();
    for (path, expected) in
        [(format!("/v1/{PARENT}/roles"), &custom), ("/v1/roles".to_owned(), &predefined)]
    {
        assert_eq!(&ids_at(owner, &path).await, expected);
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let page = format!("{path}?pageSize=2&view=FULL&pageToken={token}");
            let page = owner.get(&page).await.expect_status(200).json();
            for role in page["roles"].as_array().expect("a list") {
                assert!(role["includedPermissions"].is_array(), "{role}");
                assert!(role["stage"] == "GA" && role["title"].is_string(), "{role}");
                expect_padded_etag(role);
                found.push(role["name"].as_str().expect("text").to_owned());
            }
            match page["nextPageToken"].as_str() {
                Some(next) => token = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(&found, expected);
        let basic = owner.get(&format!("{path}?view=BASIC")).await.expect_status(200).json();
        assert!(basic["roles"][0]["includedPermissions"].is_null(), "{basic}");
        expect_field_named(owner.get(&format!("{path}?pageSize=-1")).await, "page_size", &path);
        let other = owner.get(&format!("{path}?pageToken=zzzz")).await;
        expect_field_named(other, "page_token", &path);
    }
    for absent in ["projects/absent-project", "projects/my-project/roles/none", "roles/none"] {
        let path =
            if absent.contains("/roles/") || absent.starts_with("roles/") { "" } else { "/roles" };
        owner.get(&format!("/v1/{absent}{path}")).await.expect_google_error("404 NOT_FOUND");
    }
}

/// A role of the project is granted on the project and in it, and one of the organization everywhere. Every level grants
/// what is below.
async fn roles_grant_on_every_level(accounts: AccountServer) {
    const GET: &str = "iam.serviceAccounts.get";
    let owner = &accounts.owner;
    accounts.create_repository(PROJECT, "r1").await;
    accounts.create_repository("b-project", "r1").await;
    let robot = accounts.create_actor("target-robot").await;
    let account = format!("{PARENT}/serviceAccounts/{}", robot.email);
    let (repository, other) = (repository_name(PROJECT, "r1"), repository_name("b-project", "r1"));
    let resources = [&*repository, &*account, PARENT, &*other, ORGANIZATION];
    for (parent, on, expected) in [
        (PARENT, &*repository, [true, false, false, false, false]),
        (PARENT, &account, [false, true, false, false, false]),
        (PARENT, PARENT, [true, true, true, false, false]),
        (ORGANIZATION, &repository, [true, false, false, false, false]),
        (ORGANIZATION, &account, [false, true, false, false, false]),
        (ORGANIZATION, PARENT, [true, true, true, false, false]),
        (ORGANIZATION, ORGANIZATION, [true; 5]),
    ] {
        let id = format!("on.{}", resources.iter().position(|one| *one == on).expect("listed"));
        owner.create_role(parent, &id, &[PULL, GET]).await.expect_status(200);
        let role = format!("{parent}/roles/{id}");
        let holder = accounts.create_actor_with("holder-1", (&role, on)).await;
        for (resource, expected) in resources.iter().zip(expected) {
            let told = test_permissions(&holder, resource, &[PULL, GET, LIST]).await;
            let expected: &[&str] = if expected { &[PULL, GET] } else { &[] };
            assert_eq!(granted_permissions(&told), expected, "{role} on {on}, asked of {resource}");
        }
        owner.revoke_role(on, &role, &holder.member()).await;
    }
}

async fn a_role_is_granted_only_where_it_belongs(accounts: AccountServer) {
    let owner = &accounts.owner;
    accounts.create_repository("b-project", "r1").await;
    accounts.create_repository(PROJECT, "r1").await;
    let robot = accounts.create_actor("robot-1").await;
    let (role, general) =
        (create(owner, PARENT, "own").await, create(owner, ORGANIZATION, "own").await);
    let bind = async |resource: &str, role: &str, member: &str| {
        let mut policy = owner.get_policy(resource).await;
        let mut bindings = policy["bindings"].as_array().cloned().unwrap_or_default();
        bindings.push(json!({ "role": role, "members": [member] }));
        policy["bindings"] = json!(bindings);
        owner.set_policy(resource, &policy).await
    };
    let other = repository_name("b-project", "r1");
    let own = repository_name(PROJECT, "r1");
    for (resource, role) in [
        (ORGANIZATION, &*role),
        ("projects/b-project", &role),
        (&other, &role),
        (PARENT, "projects/my-project/roles/none"),
        (&own, "organizations/1/roles/none"),
    ] {
        let refused = bind(resource, role, &robot.member()).await;
        let text = refused.text().into_owned();
        expect_field_named(refused, "policy", resource);
        let expected = format!("Role ({role}) does not exist in the resource's hierarchy.");
        assert!(text.contains(&expected), "{text}");
    }
    // A role that everybody has could get any permission later.
    for everybody in ["allUsers", "allAuthenticatedUsers"] {
        let refused = bind(&own, &general, everybody).await;
        assert!(refused.text().contains(everybody));
        expect_field_named(refused, "policy", everybody);
    }
    for (resource, role) in [(PARENT, &role), (&*own, &role), (&own, &general), (&other, &general)]
    {
        bind(resource, role, &robot.member()).await.expect_status(200);
        let stored = owner.get_policy(resource).await.to_string();
        assert!(stored.contains(role.as_str()), "{stored}");
    }
}

/// A policy with a deleted role can be changed in other respects, and the role comes back with its members.
async fn a_deleted_role_stays_in_policies_and_is_not_granted_again(accounts: AccountServer) {
    let owner = &accounts.owner;
    let (robot, other) =
        (accounts.create_actor("robot-1").await, accounts.create_actor("robot-2").await);
    let role = create(owner, PARENT, "own").await;
    owner.grant_role(PARENT, &role, &robot.member()).await;
    owner.delete(&format!("/v1/{role}")).await.expect_status(200);
    owner.grant_role(PARENT, "roles/viewer", &other.member()).await;
    let mut policy = owner.get_policy(PARENT).await;
    assert!(policy.to_string().contains(&role), "{policy}");
    let bindings = policy["bindings"].as_array_mut().expect("a list");
    bindings.push(json!({ "role": role, "members": [other.member()] }));
    let refused = owner.set_policy(PARENT, &policy).await;
    expect_field_named(refused, "policy", "a deleted role");
    let told = async |who: &GoogleClient| {
        granted_permissions(&test_permissions(who, PARENT, &[PULL]).await).len()
    };
    assert_eq!(told(&robot).await, 0);
    owner.post(&format!("/v1/{role}:undelete"), &json!({})).await.expect_status(200);
    assert_eq!((told(&robot).await, told(&other).await), (1, 1), "the other one is a viewer");
    owner.set_policy(PARENT, &policy).await.expect_status(200);
}

async fn invalid_roles_are_refused(accounts: AccountServer) {
    let owner = &accounts.owner;
    let collection = format!("/v1/{PARENT}/roles");
    let ids = ["", "ab", "a-b", "a b", "a/b", "\u{f6}wn", &"x".repeat(65), "own\0"];
    for id in ids {
        let body = json!({ "roleId": id, "role": { "title": "Own" } });
        expect_field_named(owner.post(&collection, &body).await, "role_id", id);
    }
    let role = create(owner, PARENT, "own").await;
    let path = format!("/v1/{role}");
    let before = read(owner, &role).await;
    let many = vec![PULL; 3_001];
    for (field, wrong) in [
        ("role.title", json!({ "title": "x".repeat(101) })),
        ("role.title", json!({ "title": "\u{1b}[2J" })),
        ("role.description", json!({ "description": "x".repeat(257) })),
        ("role.included_permissions", json!({ "includedPermissions": ["storage.objects.get"] })),
        ("role.included_permissions", json!({ "includedPermissions": ["x".repeat(9_000)] })),
        ("role.included_permissions", json!({ "includedPermissions": many })),
        ("stage", json!({ "stage": "RETIRED" })),
        ("stage", json!({ "stage": 3 })),
        ("etag", json!({ "etag": "not base64!" })),
    ] {
        let body = json!({ "roleId": "other", "role": wrong });
        expect_field_named(owner.post(&collection, &body).await, field, field);
        expect_field_named(owner.patch(&path, &wrong).await, field, field);
    }
    let unknown = json!({ "includedPermissions": [PULL, "storage.objects.get", "a.b.c"] });
    let refused = owner.patch(&path, &unknown).await.text().into_owned();
    for name in ["storage.objects.get", "a.b.c"] {
        assert!(refused.contains(&format!("Permission {name} is not valid.")), "{refused}");
    }
    for mask in ["deleted", "nonsense"] {
        let masked = owner.patch(&format!("{path}?updateMask={mask}"), &json!({})).await;
        expect_field_named(masked, "update_mask", mask);
    }
    let misspelt = owner.patch(&path, &json!({ "titel": "Two" })).await;
    misspelt.expect_google_error("400 INVALID_ARGUMENT");
    assert_eq!(read(owner, &role).await, before);
    assert_eq!(ids_at(owner, &collection).await, [role]);
    owner
        .create_role("projects/absent-project", "own", &[PULL])
        .await
        .expect_google_error("404 NOT_FOUND");
    for name in ["organizations/2/roles/own", "projects/my-project/roles/a-b"] {
        let refused = owner.get(&format!("/v1/{name}")).await;
        refused.expect_google_error("400 INVALID_ARGUMENT");
    }
}

/// Deleted roles count as long as they can be restored.
async fn a_project_has_three_hundred_roles(accounts: AccountServer) {
    let (owner, server) = (&accounts.owner, &accounts.server);
    let now = server.clock.unix_seconds() * 1_000_000;
    let meta = server.open_meta().await;
    let stored = meta.write(move |tx| {
        for number in 0..300 {
            let row = RoleRow {
                parent: PARENT.to_owned(),
                id: format!("role.{number}"),
                title: String::new(),
                description: String::new(),
                stage: "GA".to_owned(),
                permissions: "[]".to_owned(),
                etag: vec![1; 8],
                updated_at: now,
                deleted_at: (number == 0).then_some(now),
            };
            assert!(meta::roles::insert(tx, &row)?);
        }
        Ok::<_, meta::MetaError>(())
    });
    stored.await.expect("writable");
    let full = owner.create_role(PARENT, "one.more", &[]).await;
    assert!(full.text().contains("Maximum is: 300"), "{full:?}");
    full.expect_google_error("400 FAILED_PRECONDITION");
    create(owner, ORGANIZATION, "one.more").await;
    server.clock.advance_hours(7 * 24 + 1);
    let owner = sign_in(&accounts.server, &accounts.owner_key).await;
    create(&owner, PARENT, "one.more").await;
}

/// A role can be restored for a week. 30 days later it is forgotten, and the next role of its name is another one.
async fn a_deleted_role_is_forgotten_with_its_bindings(accounts: AccountServer) {
    let server = &accounts.server;
    server.clock.freeze();
    let meta = server.open_meta().await;
    let master = MasterKey::new(&MasterKey::generate());
    let clock: Arc<dyn identity::Clock> = server.clock.clone();
    let job = Identity::new(meta, clock, master, IdentitySettings::default());
    let forget = async || while job.forget_deleted_role().await.expect("forgotten") {};
    accounts.create_repository(PROJECT, "r1").await;
    let (repository, path) =
        (repository_name(PROJECT, "r1"), "/v1/projects/my-project/roles/own_1");
    // In a pattern of SQL, `_` is any character.
    let (role, similar) = (
        create(&accounts.owner, PARENT, "own_1").await,
        create(&accounts.owner, PARENT, "own.1").await,
    );
    let robot = accounts.create_actor("robot-1").await;
    for (resource, role) in [(PARENT, &role), (&*repository, &role), (PARENT, &similar)] {
        accounts.owner.grant_role(resource, role, &robot.member()).await;
    }
    accounts.owner.delete(path).await.expect_status(200);

    server.clock.advance_hours(7 * 24 - 1);
    let owner = sign_in(&accounts.server, &accounts.owner_key).await;
    forget().await;
    owner.post(&format!("{path}:undelete"), &json!({})).await.expect_status(200);
    owner.delete(path).await.expect_status(200);

    server.clock.advance_hours(7 * 24 + 1);
    let owner = sign_in(&accounts.server, &accounts.owner_key).await;
    forget().await;
    owner.get(path).await.expect_google_error("404 NOT_FOUND");
    owner.post(&format!("{path}:undelete"), &json!({})).await.expect_google_error("404 NOT_FOUND");
    let listed = ids_at(&owner, &format!("/v1/{PARENT}/roles?showDeleted=true")).await;
    assert_eq!(listed, [&*similar]);
    let taken = owner.create_role(PARENT, "own_1", &[PULL]).await;
    taken.expect_google_error("400 FAILED_PRECONDITION");
    assert!(owner.get_policy(PARENT).await.to_string().contains(&role));

    server.clock.advance_hours(30 * 24);
    let owner = sign_in(&accounts.server, &accounts.owner_key).await;
    forget().await;
    for resource in [PARENT, &repository] {
        let policy = owner.get_policy(resource).await.to_string();
        assert!(!policy.contains(&role), "{policy}");
        assert_eq!(policy.contains(&similar), resource == PARENT, "{policy}");
    }
    owner.create_role(PARENT, "own_1", &[LIST]).await.expect_status(200);
    let token = owner.generate_access_token(&robot.email).await.expect_status(200).json();
    let token = token["accessToken"].as_str().expect("text");
    let robot = GoogleClient::new(&accounts.anonymous(), token, &robot.email);
    let told = test_permissions(&robot, &repository, &[PULL, LIST]).await;
    assert_eq!(granted_permissions(&told), [PULL], "by the similar role alone");
}

async fn grantable_roles_and_testable_permissions_are_listed(accounts: AccountServer) {
    let owner = &accounts.owner;
    accounts.create_repository(PROJECT, "r1").await;
    let (role, disabled, general) = (
        create(owner, PARENT, "own").await,
        create(owner, PARENT, "disabled").await,
        create(owner, ORGANIZATION, "own").await,
    );
    owner.set_role_stage(&disabled, "DISABLED").await;
    let deleted = create(owner, PARENT, "deleted").await;
    owner.delete(&format!("/v1/{deleted}")).await.expect_status(200);
    let stranger = accounts.create_actor("stranger").await;
    let grantable = async |who: &GoogleClient, name: &str| {
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let body = json!({
                "fullResourceName": format!("//127.0.0.1:5050/{name}"), "pageSize": 7, "view": "FULL",
                "pageToken": token,
            });
            let page = who.post("/v1/roles:queryGrantableRoles", &body).await;
            let page = page.expect_status(200).json();
            let roles = page["roles"].as_array().expect("a list");
            found.extend(roles.iter().map(|role| role["name"].as_str().expect("text").to_owned()));
            match page["nextPageToken"].as_str() {
                Some(next) => token = next.to_owned(),
                None => break found,
            }
        }
    };
    let predefined: Vec<_> = model::role::all_roles().map(|role| role.name.to_owned()).collect();
    let with = |custom: &[&String]| {
        custom.iter().map(|role| (*role).clone()).chain(predefined.clone()).collect::<Vec<_>>()
    };
    let repository = repository_name(PROJECT, "r1");
    for resource in [PARENT, &repository] {
        assert_eq!(grantable(owner, resource).await, with(&[&general, &role]), "{resource}");
        assert_eq!(grantable(&stranger, resource).await, predefined, "{resource}");
    }
    assert_eq!(grantable(owner, ORGANIZATION).await, with(&[&general]));

    let ask =
        async |body: Value| owner.post("/v1/permissions:queryTestablePermissions", &body).await;
    let all =
        json!({ "fullResourceName": format!("//iam.googleapis.com/{PARENT}"), "pageSize": 1000 });
    let all = ask(all).await.expect_status(200).json();
    let names: Vec<_> =
        all["permissions"].as_array().expect("a list").iter().map(|one| &one["name"]).collect();
    assert_eq!(
        names,
        model::permission::all_permissions().iter().map(|one| one.as_str()).collect::<Vec<_>>()
    );
    assert!(all["nextPageToken"].is_null());
    let first = json!({ "fullResourceName": format!("//x/{repository}"), "pageSize": 2 });
    let first = ask(first).await.expect_status(200).json();
    assert_eq!(first["permissions"].as_array().map(Vec::len), Some(2));
    let second = json!({
        "fullResourceName": format!("//x/{repository}"), "pageSize": 2, "pageToken": first["nextPageToken"],
    });
    let second = ask(second).await.expect_status(200).json();
    assert_eq!(&second["permissions"][0]["name"], names[2]);
    for name in ["", PARENT, "//iam.googleapis.com", "//iam.googleapis.com/folders/1"] {
        let body = json!({ "fullResourceName": name });
        expect_field_named(ask(body.clone()).await, "full_resource_name", name);
        let refused = owner.post("/v1/roles:queryGrantableRoles", &body).await;
        expect_field_named(refused, "full_resource_name", name);
    }
}
