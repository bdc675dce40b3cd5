//! Rules: made, shown and changed; what they let tags do where tags stay, and what they keep from being pulled.

use serde_json::{Value, json};

use super::tags::{SENTENCE, set_immutable};
use super::{all, at, begin, name, path, push, tag, texts, version_of};
use crate::gc::collect;
use crate::util::accounts::PROJECT;
use crate::util::google::repository;
use crate::util::{Accounts, Google, Image, Reply, on_both};

/// Makes a rule about tags.
async fn about_tags(owner: &Google, id: &str, fields: Value) -> Reply {
    let mut rule = json!({ "action": "ALLOW", "operation": "TAG_MUTATION" });
    rule.as_object_mut().expect("fields").extend(fields.as_object().expect("fields").clone());
    owner.post(&at(&format!("rules?ruleId={id}")), &rule).await
}

fn when(expression: &str) -> Value {
    json!({ "condition": { "expression": expression } })
}

async fn held(owner: &Google, image: &str, tag: &str) -> String {
    let held = owner.client.head(&format!("/v2/{}/manifests/{tag}", path(image))).await;
    held.expect(200).header("docker-content-digest").to_owned()
}

#[track_caller]
fn stays(reply: Reply) {
    assert_eq!(reply.status, 400, "{reply:#?}");
    assert!(reply.text().contains(SENTENCE), "{}", reply.text());
}

on_both![
    a_rule_is_made_shown_changed_and_deleted,
    what_a_rule_cannot_be,
    a_tag_that_a_rule_allows_moves_and_goes_by_every_door,
    the_rule_of_an_image_stands_before_that_of_its_repository,
    an_image_of_very_many_tags_is_not_looked_through,
    what_a_rule_denies_is_not_pulled
];

async fn a_rule_is_made_shown_changed_and_deleted(accounts: Accounts) {
    let owner = begin(&accounts).await;
    let rules = at("rules");
    let first = json!({
        "action": "DENY", "operation": "DOWNLOAD", "packageId": "team/web",
        "condition": { "expression": "pkg.version.id < '2.0'", "title": "old", "description": "Old ones", "location": "here" },
    });
    let mut shown = first.clone();
    shown["name"] = json!(name("rules/no-old.ones_1"));
    let made =
        owner.post(&format!("{rules}?ruleId=no-old.ones_1"), &first).await.expect(200).json();
    assert_eq!(made, shown);
    assert_eq!(owner.get(&at("rules/no-old.ones_1")).await.expect(200).json(), shown);
    // Numbers and the other spelling, as libraries and Terraform write them.
    let second = owner
        .post(&format!("{rules}?rule_id=a"), &json!({ "action": 1, "operation": 2 }))
        .await
        .expect(200)
        .json();
    assert_eq!(
        second,
        json!({ "name": name("rules/a"), "action": "ALLOW", "operation": "TAG_MUTATION" })
    );
    assert_eq!(texts(owner, &rules, ("rules", "name")).await, ["a", "no-old.ones_1"]);
    let (pages, count) = all(owner, &at("rules?pageSize=1"), "rules").await;
    assert_eq!((pages.len(), count), (2, 2));

    let masked = |mask: &str| at(&format!("rules/no-old.ones_1?updateMask={mask}"));
    shown["action"] = json!("ALLOW");
    let body = json!({ "action": "ALLOW", "packageId": "ignored" });
    assert_eq!(owner.patch(&masked("action"), &body).await.expect(200).json(), shown);
    shown["condition"]["expression"] = json!("true");
    assert_eq!(
        owner.patch(&masked("condition.expression"), &when("true")).await.expect(200).json(),
        shown
    );
    shown["condition"] = json!({ "expression": "false" });
    assert_eq!(owner.patch(&masked("condition"), &when("false")).await.expect(200).json(), shown);
    // Without a mask everything is replaced.
    let all_of_it = json!({ "name": shown["name"], "action": "DENY", "operation": "DOWNLOAD" });
    assert_eq!(
        owner.patch(&at("rules/no-old.ones_1"), &all_of_it).await.expect(200).json(),
        all_of_it
    );

    assert_eq!(owner.delete(&at("rules/a")).await.expect(200).json(), json!({}));
    owner.delete(&at("rules/a")).await.expect_google("404 NOT_FOUND");
    owner.get(&at("rules/a")).await.expect_google("404 NOT_FOUND");
    owner.patch(&at("rules/a"), &all_of_it).await.expect_google("404 NOT_FOUND");
    // They go with their repository, and the next one of its name has none.
    owner.delete(&format!("/v1/{}", repository(PROJECT, "r1"))).await.expect(200);
    owner.get(&rules).await.expect_google("404 NOT_FOUND");
    collect(&accounts.server).await;
    begin(&accounts).await;
    assert_eq!(owner.get(&rules).await.expect(200).json(), json!({}));
}

async fn what_a_rule_cannot_be(accounts: Accounts) {
    let owner = begin(&accounts).await;
    let allow = json!({ "action": "ALLOW" });
    owner.post(&at("rules?ruleId=there"), &allow).await.expect(200);
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
        ("x", of(when("pkg.tag.id.matches('v.*')")), "rule.condition.expression"),
        ("x", of(when("resource.name == 'a'")), "rule.condition.expression"),
        ("x", of(when(&"(".repeat(2_000))), "rule.condition.expression"),
        ("x", of(when(&format!("true{}", " ".repeat(4_000)))), "rule.condition.expression"),
        ("x", of(json!({ "condition": { "title": "t".repeat(257) } })), "rule.condition.title"),
        (
            "x",
            of(json!({ "condition": { "description": "a\u{0}b" } })),
            "rule.condition.description",
        ),
    ] {
        let refused = owner.post(&at(&format!("rules?ruleId={id}")), &rule).await;
        let refused = refused.expect_google("400 INVALID_ARGUMENT");
        assert!(refused.text().contains(&format!("'{field}'")), "{id} {rule}: {}", refused.text());
    }
    // One of that name, and one that is about the same.
    owner.post(&at("rules?ruleId=there"), &of(json!({}))).await.expect_google("409 ALREADY_EXISTS");
    let same = owner.post(&at("rules?ruleId=other"), &json!({ "action": "DENY" })).await;
    let same = same.expect_google("409 ALREADY_EXISTS");
    assert!(same.text().contains("there"), "{}", same.text());
    owner
        .post(&at("rules?ruleId=of-one"), &json!({ "action": "DENY", "packageId": "web" }))
        .await
        .expect(200);
    let moved = owner.patch(&at("rules/of-one?updateMask=packageId"), &json!({})).await;
    moved.expect_google("409 ALREADY_EXISTS");
    for mask in ["name", "x", "condition.x"] {
        let refused = owner.patch(&at(&format!("rules/there?updateMask={mask}")), &allow).await;
        refused.expect_google("400 INVALID_ARGUMENT");
    }
    let nowhere = format!("/v1/{}/rules", repository(PROJECT, "none"));
    owner.post(&format!("{nowhere}?ruleId=x"), &allow).await.expect_google("404 NOT_FOUND");
    owner.get(&nowhere).await.expect_google("404 NOT_FOUND");
    owner.get(&at("rules?pageToken=x")).await.expect_google("400 INVALID_ARGUMENT");
    for rest in ["A", "%27%3B--", "..", "a%2Fb", "a%00"] {
        owner.get(&at(&format!("rules/{rest}"))).await.expect_google("404 NOT_FOUND");
    }
    let reader = accounts
        .actor_with("reader", ("roles/artifactregistry.reader", &repository(PROJECT, "r1")))
        .await;
    assert_eq!(texts(&reader, &at("rules"), ("rules", "name")).await, ["of-one", "there"]);
    reader.post(&at("rules?ruleId=x"), &allow).await.expect_google("403 PERMISSION_DENIED");
    reader.patch(&at("rules/there"), &allow).await.expect_google("403 PERMISSION_DENIED");
    reader.delete(&at("rules/there")).await.expect_google("403 PERMISSION_DENIED");
}

async fn a_tag_that_a_rule_allows_moves_and_goes_by_every_door(accounts: Accounts) {
    let owner = begin(&accounts).await;
    let (first, second) = (Image::new(1), Image::new(2));
    for id in ["dev-1", "v1"] {
        push(owner, "a", id, &first).await;
    }
    push(owner, "a", &second.digest(), &second).await;
    set_immutable(owner, true).await;
    about_tags(owner, "dev", when("pkg.tag.id.startsWith('dev-')")).await.expect(200);

    let tags = at("packages/a/tags");
    tag(owner, "a", "dev-1", &second).await.expect(201);
    assert_eq!(held(owner, "a", "dev-1").await, second.digest());
    stays(tag(owner, "a", "v1", &second).await);
    owner.patch(&format!("{tags}/dev-1"), &version_of("a", &first)).await.expect(200);
    stays(owner.patch(&format!("{tags}/v1"), &version_of("a", &second)).await);
    let put = owner.client.clone().with("content-type", model::media_type::OCI_MANIFEST);
    let several = |tags: &str| format!("/v2/{}/manifests/{}?{tags}", path("a"), second.digest());
    stays(put.put(&several("tag=dev-1&tag=v1"), second.manifest.clone()).await);
    assert_eq!(
        held(owner, "a", "dev-1").await,
        first.digest(),
        "of a push that is refused nothing is done"
    );
    put.put(&several("tag=dev-1&tag=dev-2"), second.manifest.clone()).await.expect(201);

    owner.client.delete(&format!("/v2/{}/manifests/dev-2", path("a"))).await.expect(202);
    owner.delete(&format!("{tags}/dev-1")).await.expect(200);
    stays(owner.client.delete(&format!("/v2/{}/manifests/v1", path("a"))).await);
    stays(owner.delete(&format!("{tags}/v1")).await);
    // With a version go all of its tags, or none.
    let version = |image: &Image| at(&format!("packages/a/versions/{}", image.digest()));
    tag(owner, "a", "dev-3", &first).await.expect(201);
    stays(owner.delete(&format!("{}?force=true", version(&first))).await);
    stays(owner.client.delete(&format!("/v2/{}/manifests/{}", path("a"), first.digest())).await);
    stays(owner.delete(&at("packages/a")).await);
    tag(owner, "a", "dev-3", &second).await.expect(201);
    owner.delete(&format!("{}?force=true", version(&second))).await.expect(200);
    push(owner, "b", "dev-1", &first).await;
    owner
        .client
        .delete(&format!("/v2/{}/manifests/{}", path("b"), first.digest()))
        .await
        .expect(202);
    push(owner, "c", "dev-1", &first).await;
    owner.delete(&at("packages/c")).await.expect(200);
    assert_eq!(texts(owner, &tags, ("tags", "name")).await, ["v1"]);

    owner.delete(&at("rules/dev")).await.expect(200);
    push(owner, "a", "dev-1", &first).await;
    stays(tag(owner, "a", "dev-1", &Image::new(2)).await);
}

async fn the_rule_of_an_image_stands_before_that_of_its_repository(accounts: Accounts) {
    let owner = begin(&accounts).await;
    let (first, second) = (Image::new(1), Image::new(2));
    for image in ["a", "team/b"] {
        push(owner, image, "latest", &first).await;
        second.push_blobs(&owner.client, &path(image)).await;
    }
    let mut of_b = when("pkg.version.id != ''");
    of_b["packageId"] = json!("team/b");
    of_b["action"] = json!("DENY");
    about_tags(owner, "of-b", of_b).await.expect(200);
    // A denial holds where the repository itself would let tags move.
    stays(tag(owner, "team/b", "latest", &second).await);
    tag(owner, "a", "latest", &second).await.expect(201);
    set_immutable(owner, true).await;
    about_tags(owner, "every", when("pkg.id in ['a', 'team/b'] && pkg.tag.id == 'latest'"))
        .await
        .expect(200);
    stays(tag(owner, "team/b", "latest", &second).await);
    tag(owner, "a", "latest", &first).await.expect(201);
    // Where its condition does not hold it says nothing, and the next one is asked.
    let other = when("pkg.version.id == 'none'");
    owner.patch(&at("rules/of-b?updateMask=condition.expression"), &other).await.expect(200);
    tag(owner, "team/b", "latest", &second).await.expect(201);
}

async fn an_image_of_very_many_tags_is_not_looked_through(accounts: Accounts) {
    let owner = begin(&accounts).await;
    let image = Image::new(1);
    push(owner, "a", "dev-first", &image).await;
    // By a push of many tags at once.
    for some in 0..42 {
        let tags: Vec<_> = (0..24).map(|n| format!("tag=dev-{some}-{n}")).collect();
        let put = owner.client.clone().with("content-type", model::media_type::OCI_MANIFEST);
        let path = format!("/v2/{}/manifests/{}?{}", path("a"), image.digest(), tags.join("&"));
        put.put(&path, image.manifest.clone()).await.expect(201);
    }
    set_immutable(owner, true).await;
    about_tags(owner, "dev", when("pkg.tag.id.startsWith('dev-')")).await.expect(200);
    let refused = owner.delete(&at("packages/a")).await.expect_google("400 FAILED_PRECONDITION");
    assert!(refused.text().contains("more than 1000 tags"), "{}", refused.text());
    owner.delete(&at("rules/dev")).await.expect(200);
    set_immutable(owner, false).await;
    owner.delete(&at("packages/a")).await.expect(200);
}

async fn what_a_rule_denies_is_not_pulled(accounts: Accounts) {
    let owner = begin(&accounts).await;
    let (good, bad) = (Image::new(1), Image::new(2));
    push(owner, "a", "good", &good).await;
    push(owner, "a", "bad", &bad).await;
    tag(owner, "a", "another", &bad).await.expect(201);
    push(owner, "b", "bad", &bad).await;
    let rule = |expression: &str| {
        let mut rule = when(expression);
        rule["action"] = json!("DENY");
        rule
    };
    let pulled = async |image: &str, reference: &str| {
        let manifest = format!("/v2/{}/manifests/{reference}", path(image));
        let head = owner.client.head(&manifest).await.status.as_u16();
        let get = owner.client.get(&manifest).await;
        assert_eq!(head, get.status.as_u16());
        match head {
            200 => true,
            _ => {
                let denied = get.expect_error("403 DENIED");
                assert!(denied.text().contains("a rule of the repository"), "{}", denied.text());
                false
            }
        }
    };
    owner.post(&at("rules?ruleId=bad"), &rule("pkg.tag.id == 'bad'")).await.expect(200);
    assert!(pulled("a", "good").await);
    // Whatever it is called by, it is the image that has this tag.
    for reference in ["bad", "another", &bad.digest()] {
        assert!(!pulled("a", reference).await, "{reference}");
    }
    assert!(!pulled("b", "bad").await);
    // Nor is it handed out as a file.
    let file = |image: &Image| at(&format!("files/{}:download?alt=media", image.digest()));
    owner.get(&file(&bad)).await.expect_google("403 PERMISSION_DENIED");
    owner.get(&file(&good)).await.expect(200);
    // It is still shown, and tagged.
    owner.get(&at(&format!("packages/a/versions/{}", bad.digest()))).await.expect(200);
    tag(owner, "a", "third", &bad).await.expect(201);
    // The image's own rule stands before.
    let allowed = json!({ "action": "ALLOW", "packageId": "b" });
    owner.post(&at("rules?ruleId=b"), &allowed).await.expect(200);
    assert!(pulled("b", "bad").await);
    owner.get(&file(&bad)).await.expect(200);
    let by_version = rule(&format!("pkg.version.id == '{}'", good.digest()));
    owner.patch(&at("rules/bad?updateMask=condition"), &by_version).await.expect(200);
    assert!(!pulled("a", "good").await);
    assert!(pulled("a", "bad").await);
    owner.patch(&at("rules/bad?updateMask=condition"), &json!({})).await.expect(200);
    assert!(!pulled("a", "bad").await);
    // What has no tag is what has none.
    owner.patch(&at("rules/bad?updateMask=condition"), &rule("pkg.tag.id == ''")).await.expect(200);
    push(owner, "c", &good.digest(), &good).await;
    assert!(!pulled("c", &good.digest()).await);
    owner.delete(&at("rules/bad")).await.expect(200);
    assert!(pulled("c", &good.digest()).await);
}
