//! Forms that change something: tags, their way back, and deletions.

use model::media_type::{OCI_INDEX, OCI_MANIFEST};

use super::{Browser, REPOSITORY, REPOSITORY_PAGE, form_token, person_with};
use crate::util::accounts::PROJECT;
use crate::util::google::repository_name;
use crate::util::{AccountServer, Image, Reply, digest_of, index_of, on_both};

const ADMIN: &str = "roles/artifactregistry.repoAdmin";
const IMAGE: &str = "my-project/my-repo/app";
const PAGE: &str = "/console/my-project/my-repo/app";

on_both![
    a_tag_is_added_moved_put_back_and_removed,
    a_tag_that_moved_meanwhile_stays,
    a_deletion_says_what_goes_and_what_stays,
    attachments_go_with_their_version,
    attachments_by_tags_go_with_their_version,
    a_selection_is_in_no_address,
    a_deletion_names_every_tag,
    a_deletion_is_refused_when_something_changed,
    immutable_tags_stay,
    forms_say_what_is_wrong
];

async fn administrator_of(accounts: &AccountServer) -> Browser {
    accounts.create_repository(PROJECT, REPOSITORY).await;
    let resource = repository_name(PROJECT, REPOSITORY);
    person_with(accounts, "admin@example.com", (ADMIN, &resource)).await
}

async fn push(accounts: &AccountServer, seed: u64, reference: &str) -> Image {
    let image = Image::new(seed);
    let digest = image.digest();
    let reference = if reference.is_empty() { digest.as_str() } else { reference };
    image.push(&accounts.owner.client, (IMAGE, reference)).await;
    image
}

async fn tagged(accounts: &AccountServer, tag: &str) -> Option<String> {
    let reply = accounts.owner.client.get(&format!("/v2/{IMAGE}/manifests/{tag}")).await;
    (reply.status == 200).then(|| reply.header("docker-content-digest").to_owned())
}

async fn set_tag(browser: &mut Browser, page: &str, fields: &[(&str, &str)]) -> Reply {
    browser.submit(page, &format!("{PAGE}/-/tags"), fields).await
}

/// The page that says what the deletion of versions would do.
async fn plan(browser: &mut Browser, digests: &[&str]) -> Reply {
    let fields: Vec<_> = digests.iter().map(|digest| ("digest", *digest)).collect();
    browser.submit(PAGE, &format!("{PAGE}/-/deletion-plan"), &fields).await
}

async fn shown_plan(browser: &mut Browser, digest: &str) -> String {
    plan(browser, &[digest]).await.expect_status(200).text().into_owned()
}

/// Sends the form of a page with a plan.
async fn carry_out(browser: &mut Browser, page: &str, digest: &str) -> Reply {
    let (plan, token) = (field(page, "plan"), form_token(page));
    let fields = [("token", token.as_str()), ("plan", &plan), ("digest", digest)];
    browser.post(&format!("{PAGE}/-/delete"), &fields).await
}

async fn a_tag_is_added_moved_put_back_and_removed(accounts: AccountServer) {
    let mut admin = administrator_of(&accounts).await;
    let (old, new) = (push(&accounts, 1, "v1").await, push(&accounts, 2, "").await);
    let page = format!("{PAGE}@{}", new.digest());
    let digest = new.digest();
    let fields = [("action", "set"), ("tag", "stable"), ("digest", &*digest), ("next", &*page)];
    set_tag(&mut admin, &page, &fields).await.expect_status(303);
    assert_eq!(tagged(&accounts, "stable").await, Some(new.digest()));
    // The next page says so, and the one after it does not.
    assert!(admin.open(&page).await.contains("The tag stable is set."));
    assert!(!admin.open(&page).await.contains("The tag stable is set."));
    let fields = [("action", "set"), ("tag", "v1"), ("digest", &*digest)];
    set_tag(&mut admin, &page, &fields).await.expect_status(303);
    assert_eq!(tagged(&accounts, "v1").await, Some(new.digest()));
    let history = format!("{PAGE}/-/history");
    let shown = admin.open(&format!("{history}?tag=v1")).await;
    for part in ["admin@example.com", "console", "push", &old.digest()[7..19], &digest[7..19]] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    let (before, seen) = (old.digest(), new.digest());
    let back = [("action", "restore"), ("tag", "v1"), ("digest", &*before), ("seen", &*seen)];
    set_tag(&mut admin, &history, &back).await.expect_status(303);
    assert_eq!(tagged(&accounts, "v1").await, Some(old.digest()));
    assert!(admin.open(&history).await.contains("put back"));
    let gone = [("action", "remove"), ("tag", "v1"), ("seen", &*before)];
    set_tag(&mut admin, &history, &gone).await.expect_status(303);
    assert_eq!(tagged(&accounts, "v1").await, None);
    admin.get(&format!("{PAGE}@{before}")).await.expect_status(200);
}

async fn a_tag_that_moved_meanwhile_stays(accounts: AccountServer) {
    let mut admin = administrator_of(&accounts).await;
    let (old, new) = (push(&accounts, 1, "v1").await, push(&accounts, 2, "v1").await);
    let page = format!("{PAGE}/-/history");
    let (old, other) = (old.digest(), digest_of("other"));
    for fields in [
        &[("action", "restore"), ("tag", "v1"), ("digest", &*old), ("seen", &*other)][..],
        &[("action", "restore"), ("tag", "v1"), ("digest", &*old), ("seen", "none")],
        &[("action", "remove"), ("tag", "v1"), ("seen", &*old)],
        &[("action", "remove"), ("tag", "gone"), ("seen", &*old)],
    ] {
        set_tag(&mut admin, &page, fields).await.expect_status(409);
    }
    assert_eq!(tagged(&accounts, "v1").await, Some(new.digest()));
}

async fn a_deletion_says_what_goes_and_what_stays(accounts: AccountServer) {
    let mut admin = administrator_of(&accounts).await;
    let alone = push(&accounts, 1, "").await;
    let tagged_child = push(&accounts, 2, "keep-me").await;
    let index = index_of(&[alone.descriptor(), tagged_child.descriptor()]);
    let client = &accounts.owner.client;
    client.push_manifest((IMAGE, "multi"), OCI_INDEX, index.clone()).await.expect_status(201);
    let selected = digest_of(&index);
    // A platform alone cannot go while the index stays.
    let page = shown_plan(&mut admin, &alone.digest()).await;
    assert!(page.contains("Nothing can be deleted"), "{page}");
    assert!(page.contains(&format!("part of {}", &selected[7..19])), "{page}");
    let page = shown_plan(&mut admin, &selected).await;
    for part in ["Delete 2 versions?", ">multi</span>", "it has the tag keep-me", "Would be freed"]
    {
        assert!(page.contains(part), "{part}\n{page}");
    }
    // The config, two layers, the manifest and the index: nothing else names them.
    let blobs: usize = alone.blobs.iter().map(bytes::Bytes::len).sum();
    let freed = blobs + alone.manifest.len() + index.len();
    assert!(page.contains(&format!("title=\"{freed} B\"")), "{freed}\n{page}");
    carry_out(&mut admin, &page, &selected).await.expect_status(303);
    assert!(admin.open(PAGE).await.contains("Deleted: 2."));
    assert_eq!(tagged(&accounts, "multi").await, None);
    assert_eq!(tagged(&accounts, &alone.digest()).await, None);
    assert_eq!(tagged(&accounts, "keep-me").await, Some(tagged_child.digest()));
}

fn field(html: &str, name: &str) -> String {
    let (_, rest) = html.split_once(&format!("name=\"{name}\" value=\"")).expect("a field");
    rest.split('"').next().expect("a value").to_owned()
}

/// What is attached to a version goes only with that version.
async fn attachments_go_with_their_version(accounts: AccountServer) {
    let mut admin = administrator_of(&accounts).await;
    let client = &accounts.owner.client;
    let platform = push(&accounts, 1, "").await;
    let signature = Image::referring_to(&platform.descriptor(), "application/vnd.example.sig");
    signature.push_blobs(client, IMAGE).await;
    let signed = (IMAGE, &*signature.digest());
    client.push_manifest(signed, OCI_MANIFEST, signature.manifest.clone()).await.expect_status(201);
    let index = index_of(&[platform.descriptor()]);
    client.push_manifest((IMAGE, "multi"), OCI_INDEX, index.clone()).await.expect_status(201);
    // The index keeps the platform, and so its signature stays.
    let page = shown_plan(&mut admin, &platform.digest()).await;
    assert!(page.contains("Nothing can be deleted"), "{page}");
    assert!(page.contains(&format!("attached to {}", &platform.digest()[7..19])), "{page}");
    // Selected by itself, the signature goes; with the index, all three.
    let page = shown_plan(&mut admin, &signature.digest()).await;
    assert!(page.contains("Delete 1 version?"), "{page}");
    let page = shown_plan(&mut admin, &digest_of(&index)).await;
    assert!(page.contains("Delete 3 versions?"), "{page}");
}

/// Older tools attach by tags that begin with the digest. Such an attachment goes unless it has a tag of its own, or is
/// attached to something that stays.
async fn attachments_by_tags_go_with_their_version(accounts: AccountServer) {
    let mut admin = administrator_of(&accounts).await;
    let client = &accounts.owner.client;
    let (image, other) = (push(&accounts, 1, "v1").await, push(&accounts, 2, "v2").await);
    let (hex, other_hex) = (&image.digest()[7..], &other.digest()[7..]);
    let signature = push(&accounts, 3, &format!("sha256-{hex}.sig")).await;
    // The signature of the signature.
    push(&accounts, 4, &format!("sha256-{}.sig", &signature.digest()[7..])).await;
    let bill = push(&accounts, 5, &format!("sha256-{hex}.sbom")).await;
    bill.push(client, (IMAGE, "my-sbom")).await;
    let shared = push(&accounts, 6, &format!("sha256-{hex}.att")).await;
    shared.push(client, (IMAGE, &format!("sha256-{other_hex}.att"))).await;
    push(&accounts, 7, &format!("sha256-{other_hex}.sig")).await;
    // The list that stands in for the referrers API, and what it names.
    let referrer = Image::referring_to(&image.descriptor(), "application/vnd.example.sig");
    referrer.push_blobs(client, IMAGE).await;
    let named = (IMAGE, &*referrer.digest());
    client.push_manifest(named, OCI_MANIFEST, referrer.manifest.clone()).await.expect_status(201);
    let list = index_of(&[referrer.descriptor()]);
    let fallback = format!("sha256-{hex}");
    client.push_manifest((IMAGE, &fallback), OCI_INDEX, list.clone()).await.expect_status(201);
    let page = shown_plan(&mut admin, &image.digest()).await;
    for part in [
        "Delete 5 versions?",
        &format!(">sha256-{hex}.sig</span>"),
        &format!(">{fallback}</span>"),
        &format!("attached to {}", &hex[..12]),
        &format!("attached to {}", &signature.digest()[7..19]),
        "it has the tag my-sbom",
        &format!("it has the tag sha256-{other_hex}.att"),
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    carry_out(&mut admin, &page, &image.digest()).await.expect_status(303);
    for gone in ["v1", &format!("sha256-{hex}.sig"), &fallback, &referrer.digest()] {
        assert_eq!(tagged(&accounts, gone).await, None, "{gone}");
    }
    for (kept, digest) in [
        ("my-sbom", bill.digest()),
        (&format!("sha256-{other_hex}.att"), shared.digest()),
        ("v2", other.digest()),
    ] {
        assert_eq!(tagged(&accounts, kept).await, Some(digest), "{kept}");
    }
    // With both versions, what is attached to both would have gone.
    let again = push(&accounts, 1, "v1").await;
    let page = plan(&mut admin, &[&again.digest(), &other.digest()]).await.expect_status(200);
    let page = page.text().into_owned();
    assert!(page.contains("Delete 4 versions?"), "{page}");
    assert!(page.contains("it has the tag my-sbom"), "{page}");
}

/// Very many versions are selected by a form, whose page has no selection in its address.
async fn a_selection_is_in_no_address(accounts: AccountServer) {
    let mut admin = administrator_of(&accounts).await;
    let (image, other) = (push(&accounts, 1, "v1").await, push(&accounts, 2, "v2").await);
    for page in [PAGE, &format!("{PAGE}?view=versions"), &format!("{PAGE}@{}", image.digest())] {
        let html = admin.open(page).await;
        assert!(html.contains(&format!("{PAGE}/-/deletion-plan")), "{html}");
        assert!(!html.contains("deletion-plan?") && !html.contains("/-/delete?"), "{html}");
    }
    // The button that needs the token has it, and the comparison has none in its address.
    let html = admin.open(PAGE).await;
    let (_, list) = html.split_once("<form method=\"get\" action=\"").expect("a list");
    let (form, _) = list.split_once("</form>").expect("its end");
    let (_, button) = form.split_once("formmethod=\"post\"").expect("a button");
    assert_eq!(form.matches("name=\"token\"").count(), 1, "{form}");
    let token = form_token(button);
    let (first, second) = (image.digest(), other.digest());
    let fields = [("digest", &*first), ("digest", &*second), ("token", &*token)];
    let reply = admin.post(&format!("{PAGE}/-/deletion-plan"), &fields).await.expect_status(200);
    assert!(reply.text().contains("Delete 2 versions?"), "{reply:?}");
    assert!(reply.text().contains(&format!("next={}", encoded(PAGE))), "{reply:?}");
    for method in [http::Method::GET, http::Method::PUT] {
        let path = format!("{PAGE}/-/deletion-plan?digest={first}");
        let reply = admin.client().send(method, &path, "").await.expect_status(405);
        assert_eq!(reply.header("allow"), "POST");
    }
    let foreign = admin.client().with_header("sec-fetch-site", "cross-site");
    let path = format!("{PAGE}/-/deletion-plan");
    crate::util::accounts::post_form(&foreign, &path, &fields).await.expect_status(403);
    // Who was signed out meanwhile comes back to the image, in its location.
    let mut nobody = Browser::new(&accounts.server);
    let page = nobody.get("/console/-/sign-in").await;
    let fields = [("token", &*form_token(&page.text())), ("digest", &first)];
    let path = format!("{PAGE}/-/deletion-plan?location=europe-west1");
    let reply = nobody.post(&path, &fields).await.expect_status(303);
    let next = encoded(&format!("{PAGE}?location=europe-west1"));
    assert_eq!(reply.header("location"), format!("/console/-/sign-in?next={next}"));
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// All tags of a version are shown and part of the plan, and very many are refused.
async fn a_deletion_names_every_tag(accounts: AccountServer) {
    let mut admin = administrator_of(&accounts).await;
    let image = push(&accounts, 1, "first").await;
    for n in 0..120 {
        image.push(&accounts.owner.client, (IMAGE, &format!("t{n:03}"))).await;
    }
    let digest = image.digest();
    let shown = shown_plan(&mut admin, &digest).await;
    assert!(shown.contains(">t119</span>"), "{shown}");
    // A tag that sorts after a hundred others is part of the plan as well.
    image.push(&accounts.owner.client, (IMAGE, "zz")).await;
    carry_out(&mut admin, &shown, &digest).await.expect_status(409);
    for n in 120..250 {
        image.push(&accounts.owner.client, (IMAGE, &format!("t{n:03}"))).await;
    }
    let refused = plan(&mut admin, &[&digest]).await.expect_status(409);
    assert!(refused.text().contains("more than 250 tags"), "{refused:?}");
}

/// Two people: one pushes, or deletes, while the other confirms.
async fn a_deletion_is_refused_when_something_changed(accounts: AccountServer) {
    let mut admin = administrator_of(&accounts).await;
    let image = push(&accounts, 1, "v1").await;
    let digest = image.digest();
    let shown = shown_plan(&mut admin, &digest).await;
    push(&accounts, 1, "v2").await;
    carry_out(&mut admin, &shown, &digest).await.expect_status(409);
    assert_eq!(tagged(&accounts, "v1").await, Some(image.digest()), "nothing was deleted");
    let shown = shown_plan(&mut admin, &digest).await;
    carry_out(&mut admin, &shown, &digest).await.expect_status(303);
    // The second of two confirmations finds nothing.
    carry_out(&mut admin, &shown, &digest).await.expect_status(409);
    assert_eq!(tagged(&accounts, &digest).await, None);
}

async fn immutable_tags_stay(accounts: AccountServer) {
    let mut admin = administrator_of(&accounts).await;
    let (image, other) = (push(&accounts, 1, "v1").await, push(&accounts, 2, "").await);
    accounts.owner.set_immutable_tags(&repository_name(PROJECT, REPOSITORY), true).await;
    let (digest, other) = (image.digest(), other.digest());
    let page = shown_plan(&mut admin, &digest).await;
    assert!(page.contains("its tag v1 is immutable"), "{page}");
    let page = format!("{PAGE}@{digest}");
    for fields in [
        [("action", "set"), ("tag", "v1"), ("digest", other.as_str())],
        [("action", "remove"), ("tag", "v1"), ("seen", digest.as_str())],
    ] {
        let refused = set_tag(&mut admin, &page, &fields).await.expect_status(409);
        assert!(refused.text().contains("immutab"), "{refused:?}");
    }
    assert_eq!(tagged(&accounts, "v1").await, Some(digest));
    assert!(admin.open(REPOSITORY_PAGE).await.contains("immutable tags"));
}

async fn forms_say_what_is_wrong(accounts: AccountServer) {
    let mut admin = administrator_of(&accounts).await;
    let digest = push(&accounts, 1, "v1").await.digest();
    let page = format!("{PAGE}@{digest}");
    for fields in [
        &[("action", "set"), ("tag", "a b"), ("digest", &*digest)][..],
        &[("action", "set"), ("tag", "../x"), ("digest", &*digest)],
        &[("action", "set"), ("tag", "v2"), ("digest", "sha256:abc")],
        &[("action", "set"), ("tag", "v2")],
        &[("action", "else"), ("tag", "v2"), ("digest", &*digest)],
        &[("tag", "v2"), ("digest", &*digest)],
        &[],
    ] {
        let reply = set_tag(&mut admin, &page, fields).await;
        assert_eq!(reply.status, 400, "{fields:?}: {reply:?}");
    }
    let unknown = digest_of("never pushed");
    let fields = [("action", "set"), ("tag", "v2"), ("digest", unknown.as_str())];
    set_tag(&mut admin, &page, &fields).await.expect_status(404);
    plan(&mut admin, &[]).await.expect_status(400);
    plan(&mut admin, &["x"]).await.expect_status(400);
}
