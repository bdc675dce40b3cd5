//! The lists of a registry: tags, and the manifests that refer to another one. All pages are read, within a bound.

use engine::{UpstreamImage, UpstreamProblem, UpstreamProblemKind as Problem};
use http::header::LINK;
use http::{HeaderValue, Method};
use model::digest::Digest;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::health::AskingFor;
use super::{MANIFESTS, RegistryRequest, UpstreamClient, part_url, send_problem};
use crate::egress::Url;

/// The largest page of a list.
const MAX_PAGE_BYTES: usize = 4 << 20;
/// The most pages that are read of a list.
const MAX_PAGES: usize = 100;
/// The most tags that are read.
const MAX_TAGS: usize = 100_000;
/// The most referrers that are read.
const MAX_REFERRERS: usize = 200;
/// The media type of a list of referrers.
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

#[derive(Deserialize)]
struct TagList {
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct ReferrerIndex {
    #[serde(default)]
    manifests: Vec<ReferrerEntry>,
}

#[derive(Deserialize)]
struct ReferrerEntry {
    digest: String,
}

/// Lists the tags of an image. Names that cannot be those of tags are left out.
pub(super) async fn list_tags(
    client: &UpstreamClient,
    image: UpstreamImage<'_>,
) -> Result<Vec<String>, UpstreamProblem> {
    let (mut tags, mut next) = (Vec::new(), Some(part_url(image, "tags/list?n=1000")?));
    for _ in 0..MAX_PAGES {
        let Some(url) = next.take() else { break };
        let page: Page<TagList> = read_page(client, image, url, None).await?;
        tags.extend(page.content.tags.unwrap_or_default());
        next = page.next.filter(|_| tags.len() < MAX_TAGS);
    }
    tags.truncate(MAX_TAGS);
    Ok(tags)
}

/// Lists the digests of the manifests that refer to another one. A registry without such lists may have one under the tag
/// that stands for it.
pub(super) async fn list_referrers(
    client: &UpstreamClient,
    image: UpstreamImage<'_>,
    subject: &Digest,
) -> Result<Vec<Digest>, UpstreamProblem> {
    let accept = || Some(HeaderValue::from_static(INDEX));
    let (mut entries, mut next) =
        (Vec::new(), Some(part_url(image, &format!("referrers/{subject}"))?));
    for _ in 0..MAX_PAGES {
        let Some(url) = next.take() else { break };
        let page: Page<ReferrerIndex> = match read_page(client, image, url, accept()).await {
            Err(problem) if problem.kind == Problem::NotFound && entries.is_empty() => {
                let tag = subject.as_str().replace(':', "-");
                let url = part_url(image, &format!("manifests/{tag}"))?;
                let accept = Some(HeaderValue::from_static(MANIFESTS));
                match read_page(client, image, url, accept).await {
                    Err(problem) if problem.kind == Problem::NotFound => break,
                    page => page?,
                }
            }
            page => page?,
        };
        entries.extend(page.content.manifests);
        next = page.next.filter(|_| entries.len() < MAX_REFERRERS);
    }
    let digests = entries.iter().filter_map(|entry| entry.digest.parse().ok());
    Ok(digests.take(MAX_REFERRERS).collect())
}

/// A page of a list, and the URL of the next one.
struct Page<T> {
    content: T,
    next: Option<Url>,
}

async fn read_page<T: DeserializeOwned>(
    client: &UpstreamClient,
    image: UpstreamImage<'_>,
    url: Url,
    accept: Option<HeaderValue>,
) -> Result<Page<T>, UpstreamProblem> {
    let request =
        RegistryRequest { method: Method::GET, image, url: url.clone(), accept, start: 0 };
    let mut asked = client.ask_in_turn(request, AskingFor::Content).await?;
    let answer = &mut asked.answer;
    // A list of another origin would be asked with this registry's token.
    let next = answer.header(LINK).and_then(next_link).and_then(|next| url.join(next).ok());
    let next = next.filter(|next| next.origin() == url.origin());
    let body = answer.read_all(MAX_PAGE_BYTES).await;
    let body = body.map_err(|error| send_problem(image.url, &error))?;
    let content = body.and_then(|body| serde_json::from_slice(&body).ok());
    let wrong = || UpstreamProblem::new(image.url, Problem::Wrong, "sent a list that is none");
    Ok(Page { content: content.ok_or_else(wrong)?, next })
}

/// Returns the address of the next page from the value of `Link`.
fn next_link(value: &str) -> Option<&str> {
    let (address, relation) = value.trim().strip_prefix('<')?.split_once('>')?;
    relation.contains("rel=\"next\"").then_some(address)
}
