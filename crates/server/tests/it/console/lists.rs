//! Lists: their orders, pages and filters, the search, and the activity.

use serde_json::json;

use super::{Browser, REPOSITORY, REPOSITORY_PAGE, person_with};
use crate::util::accounts::PROJECT;
use crate::util::google::repository_name;
use crate::util::image::insert_images;
use crate::util::{AccountServer, Image, on_both};

const READER: &str = "roles/artifactregistry.reader";
const IMAGE: &str = "my-project/my-repo/app";
const PAGE: &str = "/console/my-project/my-repo/app";

on_both![
    tags_are_sorted_filtered_and_paged_by_the_server,
    images_are_filtered,
    a_search_finds_what_the_viewer_may_see,
    a_search_comes_to_its_end,
    activity_is_filtered,
    other_languages,
    upstreams_are_explained
];

pub(super) async fn reader_of(accounts: &AccountServer) -> Browser {
    accounts.create_repository(PROJECT, REPOSITORY).await;
    let resource = repository_name(PROJECT, REPOSITORY);
    person_with(accounts, "reader@example.com", (READER, &resource)).await
}

/// The names in the rows of the first table of a page.
pub(super) fn rows(html: &str) -> Vec<String> {
    let body = html.split("<tbody>").nth(1).and_then(|rest| rest.split("</tbody>").next());
    let heads = body.unwrap_or_default().split("<th scope=\"row\"").skip(1);
    heads
        .map(|head| {
            let (_, rest) = head.split_once("<a href=\"").expect("a link");
            let (_, rest) = rest.split_once('>').expect("the end of the tag");
            let rest = rest.strip_prefix("<code>").unwrap_or(rest);
            rest.split('<').next().expect("a name").to_owned()
        })
        .collect()
}

/// The link of a page to the `next` one, or to the `prev` one.
pub(super) fn link_to(html: &str, relation: &str) -> Option<String> {
    let (_, rest) = html.split_once(&format!("<a rel=\"{relation}\" href=\""))?;
    Some(rest.split('"').next()?.replace("&#38;", "&").replace("&amp;", "&"))
}

async fn tags_are_sorted_filtered_and_paged_by_the_server(accounts: AccountServer) {
    let mut reader = reader_of(&accounts).await;
    let (client, image) = (&accounts.owner.client, Image::new(1));
    image.push(client, (IMAGE, "z-first")).await;
    for n in 0..45 {
        image.push(client, (IMAGE, &format!("v{n:02}"))).await;
    }
    for sort in ["", "?sort=name", "?sort=-name", "?sort=pushed"] {
        let (mut all, mut pages) = (Vec::new(), 0);
        let separator = if sort.is_empty() { "?" } else { "&" };
        let mut path = Some(format!("{PAGE}{sort}{separator}rows=20"));
        while let Some(page) = path {
            let html = reader.open(&page).await;
            all.extend(rows(&html));
            path = link_to(&html, "next");
            pages += 1;
        }
        assert_eq!((all.len(), pages), (46, 3), "{sort}");
        let mut sorted = all.clone();
        sorted.sort();
        match sort {
            "?sort=name" => assert_eq!(all, sorted),
            "?sort=-name" => assert!(all.iter().eq(sorted.iter().rev())),
            "?sort=pushed" => assert_eq!(all[0], "z-first"),
            _ => assert_eq!(all[0], "v44", "the newest first"),
        }
    }
    assert_eq!(rows(&reader.open(&format!("{PAGE}?filter=v1&sort=name")).await).len(), 10);
    let nothing = reader.open(&format!("{PAGE}?filter=nothing")).await;
    assert!(nothing.contains("Nothing matches this filter"), "{nothing}");
}

async fn images_are_filtered(accounts: AccountServer) {
    let mut reader = reader_of(&accounts).await;
    for (n, image) in ["alpha", "team/alphabet", "beta"].into_iter().enumerate() {
        let name = format!("my-project/my-repo/{image}");
        Image::new(n as u64).push(&accounts.owner.client, (&name, "v1")).await;
    }
    assert_eq!(rows(&reader.open(REPOSITORY_PAGE).await), ["alpha", "beta", "team/alphabet"]);
    let found = reader.open(&format!("{REPOSITORY_PAGE}?filter=lpha")).await;
    assert_eq!(rows(&found), ["alpha", "team/alphabet"]);
    let newest = reader.open(&format!("{REPOSITORY_PAGE}?sort=-pushed")).await;
    assert_eq!(rows(&newest).len(), 3);
    for filter in ["%22", "*", "%3Cscript%3E"] {
        let found = reader.open(&format!("{REPOSITORY_PAGE}?filter={filter}")).await;
        assert_eq!(rows(&found), Vec::<String>::new(), "{filter}");
    }
}

async fn a_search_finds_what_the_viewer_may_see(accounts: AccountServer) {
    let mut reader = reader_of(&accounts).await;
    accounts.create_repository(PROJECT, "hidden").await;
    let (client, image) = (&accounts.owner.client, Image::new(1));
    image.push(client, (IMAGE, "v1")).await;
    image.push(client, ("my-project/hidden/app", "v1")).await;
    Image::new(2).push(client, ("my-project/hidden/appendix", "v1")).await;
    let digest = image.digest();
    let version = format!("{PAGE}@{digest}");
    for (wanted, expected) in [
        ("app", PAGE.to_owned()),
        (&*digest, version.clone()),
        ("my-project/my-repo/app:v1", format!("{PAGE}:v1")),
        ("us-west1-docker.localhost:5050/my-project/my-repo/app", PAGE.to_owned()),
        ("docker pull us-west1-docker.localhost/my-project/my-repo/app:v1", format!("{PAGE}:v1")),
        (&format!("https://example.com/my-project/my-repo/app@{digest}"), version.clone()),
    ] {
        let query = form_urlencoded::byte_serialize(wanted.as_bytes()).collect::<String>();
        let reply = reader.get(&format!("/console/-/search?q={query}")).await;
        assert_eq!(reply.header("location"), expected, "{wanted}: {reply:?}");
    }
    for wanted in ["appendix", "sha256", "%3Cb%3E", ""] {
        let page = reader.open(&format!("/console/-/search?q={wanted}")).await;
        assert!(!page.contains("hidden/"), "{page}");
    }
    // Signed out, nothing is found.
    let mut nobody = Browser::new(&accounts.server);
    let page = nobody.open(&format!("/console/-/search?q={digest}")).await;
    assert!(!page.contains("/my-repo/"), "{page}");
}

/// Many images of others do not hide the viewer's own, and nothing tells of them.
async fn a_search_comes_to_its_end(accounts: AccountServer) {
    let mut reader = reader_of(&accounts).await;
    accounts.create_repository(PROJECT, "hidden").await;
    let image = Image::new(1);
    image.push(&accounts.owner.client, (IMAGE, "v1")).await;
    let names = |beginning: &str, count: usize| {
        (0..count).map(|n| format!("{beginning}-{n:04}")).collect::<Vec<_>>()
    };
    let own = names("found", 120);
    let insert = |repository: &str, names: Vec<String>| {
        let name = repository_name(PROJECT, repository).parse().expect("a name");
        let meta = accounts.server.open_meta();
        async move { meta.await.write(move |tx| insert_images(tx, &name, &names)).await }
    };
    insert("hidden", names("app", 1_200)).await.expect("inserted");
    insert("hidden", names("found", 700)).await.expect("inserted");
    insert("hidden", names("foundation", 50)).await.expect("inserted");
    insert(REPOSITORY, own.clone()).await.expect("inserted");
    insert(REPOSITORY, vec!["apple".to_owned()]).await.expect("inserted");
    // The only one of 1,201 that is the reader's.
    let reply = reader.get("/console/-/search?q=app-").await.expect_status(200);
    assert!(reply.text().contains("Nothing here has this name"), "{reply:?}");
    assert!(!reply.text().contains("rel=\"next\""), "{reply:?}");
    let reply = reader.get("/console/-/search?q=appl").await.expect_status(303);
    assert!(reply.header("location").ends_with("/my-repo/apple"), "{reply:?}");
    let page = reader.open("/console/-/search?q=app").await;
    assert!(page.contains("/my-repo/app<") && page.contains("/my-repo/apple<"), "{page}");
    assert!(!page.contains("/hidden/") && !page.contains("rel=\"next\""), "{page}");
    let (mut found, mut path, mut pages) = (0, Some("/console/-/search?q=found".to_owned()), 0);
    while let Some(from) = path {
        let page = reader.open(&from).await;
        assert!(!page.contains("/hidden/"), "{page}");
        found += own.iter().filter(|name| page.contains(&format!("/my-repo/{name}<"))).count();
        path = link_to(&page, "next");
        pages += 1;
    }
    assert_eq!((found, pages), (own.len(), 3));
    let foreign = "/console/-/search?q=found&page=sealed";
    reader.get(foreign).await.expect_status(400);
}

async fn activity_is_filtered(accounts: AccountServer) {
    let mut reader = reader_of(&accounts).await;
    let client = &accounts.owner.client;
    Image::new(1).push(client, (IMAGE, "v1")).await;
    Image::new(2).push(client, ("my-project/my-repo/other", "v2")).await;
    let page = format!("{REPOSITORY_PAGE}/-/activity");
    let all = reader.open(&page).await;
    for part in [">push</th>", ">tag</th>", ">other</a>"] {
        assert!(all.contains(part), "{part}\n{all}");
    }
    let tags = reader.open(&format!("{page}?kind=tag")).await;
    assert!(!tags.contains(">push</th>") && tags.contains(">tag</th>"), "{tags}");
    let nobody = reader.open(&format!("{page}?actor=user:nobody@example.com")).await;
    assert!(nobody.contains("Nothing matches this filter"), "{nobody}");
    let later = reader.open(&format!("{page}?since=2999-01-01")).await;
    assert!(later.contains("Nothing matches this filter"), "{later}");
    reader.get(&format!("{page}?since=yesterday")).await.expect_status(400);
    let image = reader.open(&format!("{PAGE}/-/activity")).await;
    assert!(image.contains(">v1<") && !image.contains(">v2<"), "{image}");
    let file = reader.get(&format!("{page}.csv?kind=tag")).await.expect_status(200);
    assert!(file.header("content-type").starts_with("text/csv"));
    let text = file.text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "time,kind,actor,way,image,tag,digest"), "{text}");
    assert!(lines[1].contains(",tag,serviceAccount:"), "{text}");
    assert!(lines[1].contains(",push,other,v2,sha256:"), "{text}");
}

async fn other_languages(accounts: AccountServer) {
    let mut reader = reader_of(&accounts).await;
    let image = Image::new(1);
    image.push(&accounts.owner.client, (IMAGE, "v1")).await;
    let page = format!("{PAGE}@{}", image.digest());
    assert!(reader.open(&page).await.contains("<html lang=\"en\">"));
    let asked = reader.client().with_header("accept-language", "zh-CN,zh;q=0.9").get(&page).await;
    assert!(asked.text().contains("映像摘要") && asked.text().contains("lang=\"zh-Hans\""));
    let next = format!("/console/-/language/zh-Hans?next={page}");
    let reply = reader.get(&next).await.expect_status(303);
    assert_eq!(reply.header("location"), page);
    assert!(reader.open(&page).await.contains("映像摘要"));
    reader.get("/console/-/language/xx").await.expect_status(404);
}

/// Creates a virtual repository `all` that reads repositories of the project, and lets the reader read it.
pub(super) async fn create_virtual(accounts: &AccountServer, upstreams: &[&str]) {
    let policy = |(position, name): (usize, &&str)| {
        let upstream = repository_name(PROJECT, name);
        json!({ "id": format!("the-{name}"), "repository": upstream, "priority": 100 - position })
    };
    let policies: Vec<_> = upstreams.iter().enumerate().map(policy).collect();
    let repository = json!({
        "format": "DOCKER", "mode": "VIRTUAL_REPOSITORY",
        "virtualRepositoryConfig": { "upstreamPolicies": policies },
    });
    let resource = repository_name(PROJECT, "all");
    let (parent, _) = resource.rsplit_once('/').expect("a parent");
    let created = format!("/v1/{parent}?repositoryId=all");
    accounts.owner.post(&created, &repository).await.expect_status(200);
    accounts.owner.grant_role(&resource, READER, "user:reader@example.com").await;
}

async fn upstreams_are_explained(accounts: AccountServer) {
    let mut reader = reader_of(&accounts).await;
    let image = Image::new(1);
    image.push(&accounts.owner.client, (IMAGE, "v1")).await;
    create_virtual(&accounts, &[REPOSITORY]).await;
    let page = reader.open("/console/my-project/all/-/upstreams?image=app:v1").await;
    for part in ["It comes from the-my-repo.", &image.digest(), "my-project/my-repo", ">100<"] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    assert_eq!(rows(&reader.open("/console/my-project/all").await), ["app"]);
    let version = reader.open("/console/my-project/all/app:v1").await;
    assert!(
        version.contains(&image.digest()) && !version.contains("/-/deletion-plan"),
        "{version}"
    );
    reader.get(&format!("{REPOSITORY_PAGE}/-/upstreams")).await.expect_status(404);
}
