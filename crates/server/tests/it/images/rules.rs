//! Rules: their changes, the tag changes that they allow, and the pulls that they deny.

use serde_json::{Value, json};

use super::{
    api_path, image_path, list_all, list_names, push_image, put_tag, resource_name, set_immutable,
    set_up_repository, version_body,
};
use crate::gc::collect_garbage;
use crate::util::accounts::PROJECT;
use crate::util::google::{IMMUTABLE_SENTENCE, repository_name};
use crate::util::{AccountServer, GoogleClient, Image, Reply, on_both};

/// Creates a rule about tag changes.
async fn create_tag_rule(owner: &GoogleClient, id: &str, fields: Value) -> Reply {
    let mut rule = json!({ "action": "ALLOW", "operation": "TAG_MUTATION" });
    rule.as_object_mut().expect("fields").extend(fields.as_object().expect("fields").clone());
    owner.post(&api_path(&format!("rules?ruleId={id}")), &rule).await
}

fn rule_condition(expression: &str) -> Value {
    json!({ "condition": { "expression": expression } })
}

#[track_caller]
fn expect_immutable(reply: Reply) {
    assert_eq!(reply.status, 400, "{reply:#?}");
    assert!(reply.text().contains(IMMUTABLE_SENTENCE), "{}", reply.text());
}

on_both![
    a_rule_is_created_shown_changed_and_deleted,
    invalid_rules_are_refused,
    a_rule_allows_tag_changes_by_every_api,
    the_rule_of_an_image_precedes_the_rule_of_its_repository,
    an_image_with_too_many_tags_is_not_checked_by_rules,
    a_rule_denies_pulls
];

async fn a_rule_is_created_shown_changed_and_deleted(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let rules = api_path("rules");
    let first = json!({
        "action": "DENY", "operation": "DOWNLOAD", "packageId": "team/web",
        "condition": {
            "expression": "pkg.version.id < '2.0'", "title": "old", "description": "Old ones",
            "location": "here",
        },
    });
    let mut shown = first.clone();
    shown["name"] = json!(resource_name("rules/no-old.ones_1"));
    let made = owner
        .post(&format!("{rules}?ruleId=no-old.ones_1"), &first)
        .await
        .expect_status(200)
        .json();
    assert_eq!(made, shown);
    assert_eq!(owner.get(&api_path("rules/no-old.ones_1")).await.expect_status(200).json(), shown);
    // Libraries and Terraform send numbers and snake case.
    let second = owner
        .post(&format!("{rules}?rule_id=a"), &json!({ "action": 1, "operation": 2 }))
        .await
        .expect_status(200)
        .json();
    assert_eq!(
        second,
        json!({ "name": resource_name("rules/a"), "action": "ALLOW", "operation": "TAG_MUTATION" })
    );
    assert_eq!(list_names(owner, &rules, ("rules", "name")).await, ["a", "no-old.ones_1"]);
    let (pages, count) = list_all(owner, &api_path("rules?pageSize=1"), "rules").await;
    assert_eq!((pages.len(), count), (2, 2));

    let masked = |mask: &str| api_path(&format!("rules/no-old.ones_1?updateMask={mask}"));
    shown["action"] = json!("ALLOW");
    let body = json!({ "action": "ALLOW", "packageId": "ignored" });
    assert_eq!(owner.patch(&masked("action"), &body).await.expect_status(200).json(), shown);
    shown["condition"]["expression"] = json!("true");
    assert_eq!(
        owner
            .patch(&masked("condition.expression"), &rule_condition("true"))
            .await
            .expect_status(200)
            .json(),
        shown
    );
    shown["condition"] = json!({ "expression": "false" });
    assert_eq!(
        owner.patch(&masked("condition"), &rule_condition("false")).await.expect_status(200).json(),
        shown
    );
    // Without a mask the whole rule is replaced.
    let all_of_it = json!({ "name": shown["name"], "action": "DENY", "operation": "DOWNLOAD" });
    assert_eq!(
        owner.patch(&api_path("rules/no-old.ones_1"), &all_of_it).await.expect_status(200).json(),
        all_of_it
    );

    assert_eq!(owner.delete(&api_path("rules/a")).await.expect_status(200).json(), json!({}));
    owner.delete(&api_path("rules/a")).await.expect_google_error("404 NOT_FOUND");
    owner.get(&api_path("rules/a")).await.expect_google_error("404 NOT_FOUND");
    owner.patch(&api_path("rules/a"), &all_of_it).await.expect_google_error("404 NOT_FOUND");
    // Rules are deleted with their repository. A new repository of the same name has none.
    owner.delete(&format!("/v1/{}", repository_name(PROJECT, "r1"))).await.expect_status(200);
    owner.get(&rules).await.expect_google_error("404 NOT_FOUND");
    collect_garbage(&accounts.server).await;
    set_up_repository(&accounts).await;
    assert_eq!(owner.get(&rules).await.expect_status(200).json(), json!({}));
}

async fn invalid_rules_are_refused(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let allow = json!({ "action": "ALLOW" });
    owner.post(&api_path("rules?ruleId=there"), &allow).await.expect_status(200);
    let of = |fields: Value| {
        let mut rule = json!({ "action": "DENY", "operation": "TAG_MUTATION" });
        rule.as_object_mut().expect("fields").extend(fields.as_object().expect("fields").clone());
        rule
    };
    for (id, rule, field) in [
        ("", allow.clone(), "rule_id"),
        ("Upper", allow.clone(), "rule_id"),
        ("a%2Fb", allow.clone(), "rule_id"),
        ("x", json!({}), "rule.action"),
        ("x", json!({ "action": 7 }), "rule.action"),
        ("x", json!({ "action": "ALLOW", "operation": 7 }), "rule.operation"),
        ("x", of(json!({ "packageId": "Web" })), "rule.package_id"),
        ("x", of(json!({ "packageId": "../web" })), "rule.package_id"),
        ("x", of(rule_condition("pkg.tag.id.matches('v.*')")), "rule.condition.expression"),
        ("x", of(rule_condition("resource.name == 'a'")), "rule.condition.expression"),
        ("x", of(rule_condition(&"(".repeat(2_000))), "rule.condition.expression"),
        (
            "x",
            of(rule_condition(&format!("true{}", " ".repeat(4_000)))),
            "rule.condition.expression",
        ),
        ("x", of(json!({ "condition": { "title": "t".repeat(257) } })), "rule.condition.title"),
        (
            "x",
            of(json!({ "condition": { "description": "a\u{0}b" } })),
            "rule.condition.description",
        ),
    ] {
        let refused = owner.post(&api_path(&format!("rules?ruleId={id}")), &rule).await;
        let refused = refused.expect_google_error("400 INVALID_ARGUMENT");
        assert!(refused.text().contains(&format!("'{field}'")), "{id} {rule}: {}", refused.text());
    }
    // A second rule of the same name is refused, and so is a second rule about the same thing.
    owner
        .post(&api_path("rules?ruleId=there"), &of(json!({})))
        .await
        .expect_google_error("409 ALREADY_EXISTS");
    let same = owner.post(&api_path("rules?ruleId=other"), &json!({ "action": "DENY" })).await;
    let same = same.expect_google_error("409 ALREADY_EXISTS");
    assert!(same.text().contains("there"), "{}", same.text());
    owner
        .post(&api_path("rules?ruleId=of-one"), &json!({ "action": "DENY", "packageId": "web" }))
        .await
        .expect_status(200);
    let moved = owner.patch(&api_path("rules/of-one?updateMask=packageId"), &json!({})).await;
    moved.expect_google_error("409 ALREADY_EXISTS");
    for mask in ["name", "x", "condition.x"] {
        let refused =
            owner.patch(&api_path(&format!("rules/there?updateMask={mask}")), &allow).await;
        refused.expect_google_error("400 INVALID_ARGUMENT");
    }
    let nowhere = format!("/v1/{}/rules", repository_name(PROJECT, "none"));
    owner.post(&format!("{nowhere}?ruleId=x"), &allow).await.expect_google_error("404 NOT_FOUND");
    owner.get(&nowhere).await.expect_google_error("404 NOT_FOUND");
    owner.get(&api_path("rules?pageToken=x")).await.expect_google_error("400 INVALID_ARGUMENT");
    for rest in ["A", "%27%3B--", "..", "a%2Fb", "a%00"] {
        owner.get(&api_path(&format!("rules/{rest}"))).await.expect_google_error("404 NOT_FOUND");
    }
    let reader = accounts
        .create_actor_with(
            "reader",
            ("roles/artifactregistry.reader", &repository_name(PROJECT, "r1")),
        )
        .await;
    assert_eq!(
        list_names(&reader, &api_path("rules"), ("rules", "name")).await,
        ["of-one", "there"]
    );
    reader
        .post(&api_path("rules?ruleId=x"), &allow)
        .await
        .expect_google_error("403 PERMISSION_DENIED");
    reader
        .patch(&api_path("rules/there"), &allow)
        .await
        .expect_google_error("403 PERMISSION_DENIED");
    reader.delete(&api_path("rules/there")).await.expect_google_error("403 PERMISSION_DENIED");
}

async fn a_rule_allows_tag_changes_by_every_api(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let (first, second) = (Image::new(1), Image::new(2));
    for id in ["dev-1", "v1"] {
        push_image(owner, "a", id, &first).await;
    }
    push_image(owner, "a", &second.digest(), &second).await;
    set_immutable(owner, true).await;
    create_tag_rule(owner, "dev", rule_condition("pkg.tag.id.startsWith('dev-')"))
        .await
        .expect_status(200);

    let tags = api_path("packages/a/tags");
    put_tag(owner, "a", "dev-1", &second).await.expect_status(201);
    assert_eq!(owner.client.tagged_digest(&image_path("a"), "dev-1").await, second.digest());
    expect_immutable(put_tag(owner, "a", "v1", &second).await);
    owner.patch(&format!("{tags}/dev-1"), &version_body("a", &first)).await.expect_status(200);
    expect_immutable(owner.patch(&format!("{tags}/v1"), &version_body("a", &second)).await);
    let put = owner.client.clone().with_header("content-type", model::media_type::OCI_MANIFEST);
    let several =
        |tags: &str| format!("/v2/{}/manifests/{}?{tags}", image_path("a"), second.digest());
    expect_immutable(put.put(&several("tag=dev-1&tag=v1"), second.manifest.clone()).await);
    assert_eq!(
        owner.client.tagged_digest(&image_path("a"), "dev-1").await,
        first.digest(),
        "of a push that is refused nothing is done"
    );
    put.put(&several("tag=dev-1&tag=dev-2"), second.manifest.clone()).await.expect_status(201);

    owner
        .client
        .delete(&format!("/v2/{}/manifests/dev-2", image_path("a")))
        .await
        .expect_status(202);
    owner.delete(&format!("{tags}/dev-1")).await.expect_status(200);
    expect_immutable(owner.client.delete(&format!("/v2/{}/manifests/v1", image_path("a"))).await);
    expect_immutable(owner.delete(&format!("{tags}/v1")).await);
    // A version is deleted with all of its tags, or not at all.
    let version = |image: &Image| api_path(&format!("packages/a/versions/{}", image.digest()));
    put_tag(owner, "a", "dev-3", &first).await.expect_status(201);
    expect_immutable(owner.delete(&format!("{}?force=true", version(&first))).await);
    expect_immutable(
        owner.client.delete(&format!("/v2/{}/manifests/{}", image_path("a"), first.digest())).await,
    );
    expect_immutable(owner.delete(&api_path("packages/a")).await);
    put_tag(owner, "a", "dev-3", &second).await.expect_status(201);
    owner.delete(&format!("{}?force=true", version(&second))).await.expect_status(200);
    push_image(owner, "b", "dev-1", &first).await;
    owner
        .client
        .delete(&format!("/v2/{}/manifests/{}", image_path("b"), first.digest()))
        .await
        .expect_status(202);
    push_image(owner, "c", "dev-1", &first).await;
    owner.delete(&api_path("packages/c")).await.expect_status(200);
    assert_eq!(list_names(owner, &tags, ("tags", "name")).await, ["v1"]);

    owner.delete(&api_path("rules/dev")).await.expect_status(200);
    push_image(owner, "a", "dev-1", &first).await;
    expect_immutable(put_tag(owner, "a", "dev-1", &Image::new(2)).await);
}

async fn the_rule_of_an_image_precedes_the_rule_of_its_repository(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let (first, second) = (Image::new(1), Image::new(2));
    for image in ["a", "team/b"] {
        push_image(owner, image, "latest", &first).await;
        second.push_blobs(&owner.client, &image_path(image)).await;
    }
    let mut of_b = rule_condition("pkg.version.id != ''");
    of_b["packageId"] = json!("team/b");
    of_b["action"] = json!("DENY");
    create_tag_rule(owner, "of-b", of_b).await.expect_status(200);
    // A denial holds although the repository's tags may move.
    expect_immutable(put_tag(owner, "team/b", "latest", &second).await);
    put_tag(owner, "a", "latest", &second).await.expect_status(201);
    set_immutable(owner, true).await;
    create_tag_rule(
        owner,
        "every",
        rule_condition("pkg.id in ['a', 'team/b'] && pkg.tag.id == 'latest'"),
    )
    .await
    .expect_status(200);
    expect_immutable(put_tag(owner, "team/b", "latest", &second).await);
    put_tag(owner, "a", "latest", &first).await.expect_status(201);
    // A rule whose condition is false has no effect, and the next rule decides.
    let other = rule_condition("pkg.version.id == 'none'");
    owner
        .patch(&api_path("rules/of-b?updateMask=condition.expression"), &other)
        .await
        .expect_status(200);
    put_tag(owner, "team/b", "latest", &second).await.expect_status(201);
}

async fn an_image_with_too_many_tags_is_not_checked_by_rules(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let image = Image::new(1);
    push_image(owner, "a", "dev-first", &image).await;
    // One push makes many tags at once.
    for some in 0..42 {
        let tags: Vec<_> = (0..24).map(|n| format!("tag=dev-{some}-{n}")).collect();
        let put = owner.client.clone().with_header("content-type", model::media_type::OCI_MANIFEST);
        let path =
            format!("/v2/{}/manifests/{}?{}", image_path("a"), image.digest(), tags.join("&"));
        put.put(&path, image.manifest.clone()).await.expect_status(201);
    }
    set_immutable(owner, true).await;
    create_tag_rule(owner, "dev", rule_condition("pkg.tag.id.startsWith('dev-')"))
        .await
        .expect_status(200);
    let refused =
        owner.delete(&api_path("packages/a")).await.expect_google_error("400 FAILED_PRECONDITION");
    assert!(refused.text().contains("more than 1000 tags"), "{}", refused.text());
    owner.delete(&api_path("rules/dev")).await.expect_status(200);
    set_immutable(owner, false).await;
    owner.delete(&api_path("packages/a")).await.expect_status(200);
}

async fn a_rule_denies_pulls(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let (good, bad) = (Image::new(1), Image::new(2));
    push_image(owner, "a", "good", &good).await;
    push_image(owner, "a", "bad", &bad).await;
    put_tag(owner, "a", "another", &bad).await.expect_status(201);
    push_image(owner, "b", "bad", &bad).await;
    let rule = |expression: &str| {
        let mut rule = rule_condition(expression);
        rule["action"] = json!("DENY");
        rule
    };
    let pulled = async |image: &str, reference: &str| {
        let manifest = format!("/v2/{}/manifests/{reference}", image_path(image));
        let head = owner.client.head(&manifest).await.status.as_u16();
        let get = owner.client.get(&manifest).await;
        assert_eq!(head, get.status.as_u16());
        match head {
            200 => true,
            _ => {
                let denied = get.expect_oci_error("403 DENIED");
                assert!(denied.text().contains("a rule of the repository"), "{}", denied.text());
                false
            }
        }
    };
    owner
        .post(&api_path("rules?ruleId=bad"), &rule("pkg.tag.id == 'bad'"))
        .await
        .expect_status(200);
    assert!(pulled("a", "good").await);
    // The rule denies the image under all of its names, because one of its tags is denied.
    for reference in ["bad", "another", &bad.digest()] {
        assert!(!pulled("a", reference).await, "{reference}");
    }
    assert!(!pulled("b", "bad").await);
    // The file download is denied as well.
    let file = |image: &Image| api_path(&format!("files/{}:download?alt=media", image.digest()));
    owner.get(&file(&bad)).await.expect_google_error("403 PERMISSION_DENIED");
    owner.get(&file(&good)).await.expect_status(200);
    // The version can still be read and tagged.
    owner.get(&api_path(&format!("packages/a/versions/{}", bad.digest()))).await.expect_status(200);
    put_tag(owner, "a", "third", &bad).await.expect_status(201);
    // The rule of the image comes before the rule of the repository.
    let allowed = json!({ "action": "ALLOW", "packageId": "b" });
    owner.post(&api_path("rules?ruleId=b"), &allowed).await.expect_status(200);
    assert!(pulled("b", "bad").await);
    owner.get(&file(&bad)).await.expect_status(200);
    let by_version = rule(&format!("pkg.version.id == '{}'", good.digest()));
    owner.patch(&api_path("rules/bad?updateMask=condition"), &by_version).await.expect_status(200);
    assert!(!pulled("a", "good").await);
    assert!(pulled("a", "bad").await);
    owner.patch(&api_path("rules/bad?updateMask=condition"), &json!({})).await.expect_status(200);
    assert!(!pulled("a", "bad").await);
    // The condition `pkg.tag.id == ''` is true for a version without tags.
    owner
        .patch(&api_path("rules/bad?updateMask=condition"), &rule("pkg.tag.id == ''"))
        .await
        .expect_status(200);
    push_image(owner, "c", &good.digest(), &good).await;
    assert!(!pulled("c", &good.digest()).await);
    owner.delete(&api_path("rules/bad")).await.expect_status(200);
    assert!(pulled("c", &good.digest()).await);
}
