//! Pages of lists: forwards and backwards, their numbers, filters that are kept, and files.

use super::lists::{create_virtual, link_to, reader_of, rows};
use super::{Browser, REPOSITORY, REPOSITORY_PAGE};
use crate::util::accounts::PROJECT;
use crate::util::{AccountServer, Image, on_both};

const IMAGE: &str = "my-project/my-repo/app";
const PAGE: &str = "/console/my-project/my-repo/app";

on_both![
    lists_go_forwards_and_backwards,
    projects_and_repositories_are_filtered,
    rows_of_a_virtual_repository_name_their_upstream,
    images_are_a_file,
    a_version_leads_to_all_its_tags,
    pages_show_the_command_that_says_the_same
];

/// Walks from the first page to the last one and back. Returns the rows of all pages.
async fn walk(browser: &mut Browser, first: &str) -> Vec<Vec<String>> {
    let (mut pages, mut path) = (Vec::new(), Some(first.to_owned()));
    let mut html = String::new();
    while let Some(next) = path {
        html = browser.open(&next).await;
        pages.push(rows(&html));
        path = link_to(&html, "next");
    }
    for page in pages.iter().rev().skip(1) {
        let previous = link_to(&html, "prev").expect("a page before this one");
        html = browser.open(&previous).await;
        assert_eq!(rows(&html), *page, "{previous}");
    }
    assert_eq!(link_to(&html, "prev"), None, "{first}");
    pages
}

async fn lists_go_forwards_and_backwards(accounts: AccountServer) {
    let mut reader = reader_of(&accounts).await;
    let client = &accounts.owner.client;
    for n in 0..45 {
        Image::new(n).push(client, (IMAGE, &format!("v{n:02}"))).await;
    }
    for n in 0..24 {
        let name = format!("my-project/my-repo/images/{n:02}");
        Image::new(n % 3).push(client, (&name, "v1")).await;
    }
    let attached = format!("sha256-{}.sig", "0".repeat(64));
    Image::new(1).push(client, (IMAGE, &attached)).await;
    for path in [
        format!("{PAGE}?rows=20"),
        format!("{PAGE}?rows=20&sort=name"),
        format!("{PAGE}?rows=20&sort=-name&filter=v"),
        format!("{PAGE}?rows=20&sort=name&attached=1"),
        format!("{PAGE}?rows=20&view=versions"),
        format!("{PAGE}?rows=20&view=versions&sort=digest"),
        format!("{REPOSITORY_PAGE}?rows=20"),
        format!("{REPOSITORY_PAGE}?rows=20&sort=-name"),
        format!("{REPOSITORY_PAGE}?rows=20&filter=images"),
    ] {
        let pages = walk(&mut reader, &path).await;
        let count: usize = pages.iter().map(Vec::len).sum();
        let expected = match path.as_str() {
            path if path.contains("filter=images") => 24,
            path if path.contains("attached") => 46,
            path if path.contains("/app") => 45,
            _ => 25,
        };
        assert_eq!(count, expected, "{path}");
    }
    // The numbers of rows go along; the number of all is known without a filter, and on the last page.
    let html = reader.open(&format!("{PAGE}?rows=20")).await;
    assert!(html.contains("<span>1–20 of 45</span>"), "{html}");
    let html = reader.open(&link_to(&html, "next").expect("a link")).await;
    assert!(html.contains("<span>21–40 of 45</span>"), "{html}");
    let html = reader.open(&format!("{PAGE}?rows=20&filter=v")).await;
    assert!(html.contains("<span>1–20</span>"), "{html}");
    for (path, expected) in [
        (format!("{PAGE}?filter=v0"), "1–10 of 10"),
        (format!("{PAGE}?rows=20&attached=1"), "1–20 of 46"),
        (format!("{PAGE}?rows=20&view=versions"), "1–20 of 45"),
        (format!("{REPOSITORY_PAGE}?rows=20"), "1–20 of 25"),
    ] {
        let html = reader.open(&path).await;
        assert!(html.contains(&format!("<span>{expected}</span>")), "{path}: {html}");
    }
}

async fn projects_and_repositories_are_filtered(accounts: AccountServer) {
    let mut owner = super::person_with(
        &accounts,
        "owner@example.com",
        ("roles/owner", &format!("projects/{PROJECT}")),
    )
    .await;
    for n in 0..22 {
        accounts.create_repository(PROJECT, &format!("repository-{n:02}")).await;
    }
    let project = format!("/console/{PROJECT}");
    assert_eq!(walk(&mut owner, &format!("{project}?rows=20")).await.concat().len(), 22);
    let last = owner.open(&format!("{project}?rows=20&sort=-name")).await;
    assert_eq!(rows(&last)[0], "repository-21");
    let found = owner.open(&format!("{project}?filter=tory-1&rows=20&sort=-name")).await;
    assert_eq!(rows(&found).len(), 10);
    // The form keeps the order and the length.
    for kept in ["name=\"rows\" value=\"20\"", "name=\"sort\" value=\"-name\""] {
        assert!(found.contains(kept), "{kept}\n{found}");
    }
    let nothing = owner.open(&format!("{project}?filter=%2A")).await;
    assert!(nothing.contains("Nothing matches this filter"), "{nothing}");
    let projects = owner.open("/console/?all=1&filter=my-pro").await;
    assert_eq!(rows(&projects), [PROJECT]);
    let none = owner.open("/console/?filter=other").await;
    assert!(none.contains("Nothing matches this filter"), "{none}");
}

async fn rows_of_a_virtual_repository_name_their_upstream(accounts: AccountServer) {
    let mut reader = reader_of(&accounts).await;
    let client = &accounts.owner.client;
    accounts.create_repository(PROJECT, "second").await;
    create_virtual(&accounts, &[REPOSITORY, "second"]).await;
    Image::new(1).push(client, (IMAGE, "v1")).await;
    Image::new(2).push(client, ("my-project/second/app", "v1")).await;
    Image::new(3).push(client, ("my-project/second/app", "v2")).await;
    Image::new(4).push(client, ("my-project/second/other", "v1")).await;
    let images = reader.open("/console/my-project/all").await;
    assert_eq!(rows(&images), ["app", "other"]);
    assert_eq!(upstreams(&images), ["the-my-repo", "the-second"]);
    let tags = reader.open("/console/my-project/all/app?sort=name").await;
    assert_eq!(rows(&tags), ["v1", "v2"]);
    assert_eq!(upstreams(&tags), ["the-my-repo", "the-second"]);
    // The reader may not see the repository itself.
    assert!(!tags.contains("my-project/second"), "{tags}");
    let own = reader.open(PAGE).await;
    assert!(!own.contains("the-my-repo"), "{own}");
}

/// The last cells of the rows of the first table.
fn upstreams(html: &str) -> Vec<String> {
    let body = html.split("<tbody>").nth(1).and_then(|rest| rest.split("</tbody>").next());
    let ends = body.unwrap_or_default().split("</td></tr>");
    let cells = ends.filter_map(|row| row.rsplit_once("<td>")).map(|(_, cell)| cell.to_owned());
    cells.collect()
}

async fn images_are_a_file(accounts: AccountServer) {
    let mut reader = reader_of(&accounts).await;
    for (n, image) in ["alpha", "beta", "alphabet"].into_iter().enumerate() {
        let name = format!("my-project/my-repo/{image}");
        Image::new(n as u64).push(&accounts.owner.client, (&name, "v1")).await;
    }
    let page = reader.open(&format!("{REPOSITORY_PAGE}?filter=alpha&sort=-name")).await;
    let link = "/console/my-project/my-repo/-/images.csv?filter=alpha&#38;sort=-name";
    assert!(page.contains(&format!("href=\"{link}\"")), "{page}");
    let file = reader.get(&link.replace("&#38;", "&")).await.expect_status(200);
    assert!(file.header("content-type").starts_with("text/csv"));
    assert!(file.header("content-disposition").contains("my-repo-images.csv"));
    let text = file.text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[0],
        "image,newest tag,tags,versions,untagged,stored bytes,last push,pulls in 30 days,upstream"
    );
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[1].starts_with("alphabet,v1,1,1,0,"), "{text}");
    assert!(lines[2].starts_with("alpha,v1,1,1,0,") && lines[2].ends_with(",0,"), "{text}");
    // Who may not see the repository gets no file.
    let mut nobody = Browser::new(&accounts.server);
    let path = "/console/my-project/my-repo/-/images.csv";
    assert_eq!(nobody.get(path).await.status, 303);
}

async fn a_version_leads_to_all_its_tags(accounts: AccountServer) {
    let mut reader = reader_of(&accounts).await;
    let (client, image) = (&accounts.owner.client, Image::new(1));
    for n in 0..103 {
        image.push(client, (IMAGE, &format!("v{n:03}"))).await;
    }
    Image::new(2).push(client, (IMAGE, "other")).await;
    let version = reader.open(&format!("{PAGE}@{}", image.digest())).await;
    assert!(version.contains(">v099</a>") && !version.contains(">v100</a>"), "{version}");
    let digest = image.digest().replace(':', "%3A");
    let link = format!("{PAGE}?digest={digest}");
    assert!(version.contains(&format!("<a href=\"{link}\">+3 more</a>")), "{version}");
    let tags = walk(&mut reader, &format!("{link}&rows=20")).await.concat();
    assert_eq!(tags, (0..103).map(|n| format!("v{n:03}")).collect::<Vec<_>>());
    let filtered = reader.open(&format!("{link}&filter=v10&sort=-name")).await;
    assert_eq!(rows(&filtered), ["v102", "v101", "v100"]);
    let unknown = crate::util::digest_of("absent").replace(':', "%3A");
    assert_eq!(rows(&reader.open(&format!("{PAGE}?digest={unknown}")).await), Vec::<String>::new());
    reader.get(&format!("{PAGE}?digest=sha256")).await.expect_status(404);
}

async fn pages_show_the_command_that_says_the_same(accounts: AccountServer) {
    let mut owner = super::person_with(
        &accounts,
        "owner@example.com",
        ("roles/owner", &format!("projects/{PROJECT}")),
    )
    .await;
    accounts.create_repository(PROJECT, REPOSITORY).await;
    let client = &accounts.owner.client;
    let (a, b) = (Image::new(1), Image::new(2));
    a.push(client, (IMAGE, "v1")).await;
    b.push(client, (IMAGE, "v1")).await;
    for image in ["another-app", "any-app"] {
        Image::new(3).push(client, (&format!("my-project/my-repo/{image}"), "v1")).await;
    }
    let (a, b) = (a.digest(), b.digest());
    let gcloud = "gcloud artifacts docker";
    for (path, command) in [
        (format!("{PAGE}?view=versions"), format!("{gcloud} images list")),
        (format!("{PAGE}?view=untagged"), "--filter=".to_owned()),
        (format!("{PAGE}/-/history"), format!("{gcloud} tags add")),
        (format!("{PAGE}/-/activity"), "--sort-by=~UPDATE_TIME".to_owned()),
        (format!("{REPOSITORY_PAGE}/-/activity"), "--sort-by=~UPDATE_TIME".to_owned()),
        (format!("{PAGE}/-/compare?a={a}&b={b}"), format!("(manifest {a})")),
        ("/console/-/search?q=an".to_owned(), "grep -F -- an<".to_owned()),
    ] {
        let html = owner.open(&path).await;
        let (_, commands) = html.split_once("The same by command").expect(&path);
        assert!(commands.contains(&command), "{path}: {commands}");
    }
    let plan = format!("{PAGE}/-/deletion-plan");
    let reply = owner.submit(PAGE, &plan, &[("digest", a.as_str())]).await.expect_status(200);
    assert!(reply.text().contains(&format!("@{a} --delete-tags")), "{reply:?}");
}
