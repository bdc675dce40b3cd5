//! The changes of a repository or an image, with filters in the address, and as a file for spreadsheets.

use askama::Template;
use axum::response::Response;
use engine::{ActivityEntry, ActivityFilter, ActivityScope, EventAction, ListPage, PageRequest};
use identity::Authorized;
use jiff::Timestamp;
use model::artifact_name::{PackageName, VersionName};
use model::name::{ImageName, RepositoryName};
use model::permissions::artifactregistry;
use model::resource::Resource;

use crate::commands;
use crate::csv::{CsvFile, ROWS_AT_ONCE, time_text};
use crate::error::ConsoleError;
use crate::frame::Frame;
use crate::html::{Time, Untrusted, short_digest};
use crate::links::Link;
use crate::page;
use crate::request::ConsoleRequest;

const ROWS: usize = 50;

/// The kinds of changes that happen in a repository.
const KINDS: [EventAction; 12] = [
    EventAction::Push,
    EventAction::Tag,
    EventAction::Untag,
    EventAction::Delete,
    EventAction::DeletePackage,
    EventAction::Annotate,
    EventAction::AnnotatePackage,
    EventAction::Create,
    EventAction::Update,
    EventAction::CreateRule,
    EventAction::UpdateRule,
    EventAction::DeleteRule,
];

#[derive(Template)]
#[template(path = "activity.html")]
struct ActivityPage {
    frame: Frame,
    name: String,
    actor: String,
    since: String,
    until: String,
    kinds: Vec<KindChoice>,
    location: Option<String>,
    days: Vec<DayBar>,
    rows: Vec<EventEntry>,
    next: Option<Link>,
    file: Option<Link>,
    has_filter: bool,
}

struct KindChoice {
    value: &'static str,
    word: &'static str,
    is_chosen: bool,
}

/// A day of the chart: two bars beside each other, and their numbers.
struct DayBar {
    date: String,
    x: usize,
    pulls: i64,
    pulls_height: i64,
    pushes: i64,
    pushes_height: i64,
}

struct EventEntry {
    at: Time,
    kind: &'static str,
    actor: Untrusted,
    way: &'static str,
    image: Option<(String, Link)>,
    tag: String,
    digest: Option<(String, Link)>,
}

pub(crate) async fn of_repository(
    request: &ConsoleRequest,
    name: RepositoryName,
) -> Result<Response, ConsoleError> {
    let repository = request.repository(&name).await?;
    let link = request.links.repository(&name);
    let title = format!("{} · {}", request.texts.activity(), name.repository);
    let frame = request
        .repository_frame(&name, repository.mode, title)
        .await?
        .with_commands(vec![commands::newest_versions(&request.app.registry_uri(&name))])
        .with_commands_note(request.texts.pushes_alone());
    let page =
        PageOf { frame, title: name.repository.to_string(), repository: name, image: None, link };
    show(request, page).await
}

pub(crate) async fn of_image(
    request: &ConsoleRequest,
    name: PackageName,
) -> Result<Response, ConsoleError> {
    let title = format!("{} · {}", request.texts.activity(), name.image);
    let frame = request
        .image_frame(&name, title)
        .await?
        .with_commands(vec![commands::newest_versions(&request.image_address(&name))])
        .with_commands_note(request.texts.pushes_alone());
    let link = request.links.image(&name);
    let PackageName { repository, image } = name;
    let page = PageOf { frame, title: image.to_string(), repository, image: Some(image), link };
    show(request, page).await
}

/// The page of a repository or of an image.
struct PageOf {
    frame: Frame,
    title: String,
    repository: RepositoryName,
    image: Option<ImageName>,
    link: Link,
}

async fn show(request: &ConsoleRequest, page: PageOf) -> Result<Response, ConsoleError> {
    let PageOf { frame, title, repository, image, link } = page;
    let start = request.query.get("after").unwrap_or_default().to_owned();
    let is_image = image.is_some();
    let days = days(request, &repository, image.clone()).await?;
    let listed = list(request, &repository, image, PageRequest { start, limit: ROWS }).await?;
    let filtered = |link: Link| {
        let mut link = link;
        for key in ["actor", "since", "until"] {
            link = link.with_some(key, request.query.get(key));
        }
        request.query.all("kind").fold(link, |link, kind| link.with("kind", kind))
    };
    let base = filtered(link.clone().page("activity"));
    let chosen: Vec<&str> = request.query.all("kind").collect();
    let field = |name: &str| request.query.get(name).unwrap_or_default().to_owned();
    let shown = ActivityPage {
        frame,
        name: title,
        actor: field("actor"),
        since: field("since"),
        until: field("until"),
        kinds: KINDS
            .iter()
            .map(|kind| KindChoice {
                value: kind.as_str(),
                word: request.texts.change(*kind),
                is_chosen: chosen.contains(&kind.as_str()),
            })
            .collect(),
        location: request.other_location(&repository),
        has_filter: !chosen.is_empty()
            || ["actor", "since", "until"].iter().any(|key| request.query.get(key).is_some()),
        days,
        rows: listed.entries.into_iter().map(|entry| row(request, &repository, entry)).collect(),
        next: listed.next.map(|next| base.with("after", &next)),
        file: (!is_image).then(|| filtered(link.page("activity.csv"))),
    };
    Ok(page::show(request, &shown))
}

/// Returns the pulls and pushes of the last 30 days, one bar for each day.
async fn days(
    request: &ConsoleRequest,
    repository: &RepositoryName,
    image: Option<ImageName>,
) -> Result<Vec<DayBar>, ConsoleError> {
    const DAYS: i64 = 30;
    const HEIGHT: i64 = 100;
    let authorized = authorize(request, repository).await?;
    let scope = scope_of(repository, image);
    let counted = request.engine().activity_days(&authorized, scope).await?;
    let Some(last) = counted.iter().map(|day| day.day).max() else { return Ok(Vec::new()) };
    let largest = counted.iter().map(|day| day.pulls.max(day.pushes)).max().unwrap_or(0).max(1);
    let height = |count: i64| (count * HEIGHT + largest - 1) / largest;
    let bar = |(position, day): (usize, i64)| {
        let found = counted.iter().find(|counted| counted.day == day);
        let (pulls, pushes) = found.map_or((0, 0), |counted| (counted.pulls, counted.pushes));
        let at = Timestamp::from_second(day * 24 * 3600);
        DayBar {
            date: at.map_or(String::new(), |at| at.strftime("%Y-%m-%d").to_string()),
            x: position * 20,
            pulls,
            pulls_height: height(pulls),
            pushes,
            pushes_height: height(pushes),
        }
    };
    Ok((last - DAYS + 1..=last).enumerate().map(bar).collect())
}

/// Proves that the viewer may see the activity. It names people, so that nobody sees it who is signed out.
async fn authorize(
    request: &ConsoleRequest,
    repository: &RepositoryName,
) -> Result<Authorized, ConsoleError> {
    if request.viewer.is_signed_out() {
        return Err(ConsoleError::SignIn);
    }
    let resource = Resource::Repository(repository.clone());
    request.authorize(artifactregistry::REPOSITORIES_GET, resource).await
}

fn scope_of(repository: &RepositoryName, image: Option<ImageName>) -> ActivityScope {
    match image {
        Some(image) => ActivityScope::Image(repository.clone(), image),
        None => ActivityScope::Repository(repository.clone()),
    }
}

async fn list(
    request: &ConsoleRequest,
    repository: &RepositoryName,
    image: Option<ImageName>,
    page: PageRequest,
) -> Result<ListPage<ActivityEntry>, ConsoleError> {
    let authorized = authorize(request, repository).await?;
    let scope = scope_of(repository, image);
    let kinds = request.query.all("kind");
    let kind = |word: &str| {
        let known = KINDS.into_iter().find(|kind| kind.as_str() == word);
        known.ok_or_else(|| ConsoleError::Invalid(format!("{word:?} is no kind of change")))
    };
    let kinds = kinds.filter(|word| !word.is_empty()).map(kind);
    let filter = ActivityFilter {
        actor: request.query.get("actor").map(str::to_owned),
        kinds: kinds.collect::<Result<_, _>>()?,
        since: day(request, "since", 0)?,
        until: day(request, "until", 1)?,
    };
    Ok(request.engine().activity(&authorized, scope, filter, page).await?)
}

/// Returns the beginning of a day of the filter in UTC, or of one some days later.
fn day(request: &ConsoleRequest, field: &str, later: i64) -> Result<Option<i64>, ConsoleError> {
    const DAY: i64 = 24 * 3600 * 1_000_000;
    let Some(text) = request.query.get(field) else { return Ok(None) };
    let at: Result<Timestamp, _> = format!("{text}T00:00:00Z").parse();
    let at = at.map_err(|_| ConsoleError::Invalid(format!("{text:?} is no day: 2026-11-29")))?;
    Ok(Some(at.as_microsecond() + later * DAY))
}

fn row(request: &ConsoleRequest, repository: &RepositoryName, entry: ActivityEntry) -> EventEntry {
    let package = entry.image.as_deref().and_then(|image| image.parse().ok());
    let package = package.map(|image| PackageName { repository: repository.clone(), image });
    let digest = entry.digest.zip(package.clone()).map(|(digest, package)| {
        let short = short_digest(digest.as_str()).to_owned();
        (short, request.links.version(&VersionName { package, digest }))
    });
    EventEntry {
        at: Time(entry.at),
        kind: request.texts.change(entry.action),
        actor: Untrusted::short(entry.principal),
        way: request.texts.change_way(entry.way),
        image: package.map(|package| (package.image.to_string(), request.links.image(&package))),
        tag: entry.tag.unwrap_or_default(),
        digest,
    }
}

/// Answers with the filtered events of a repository as a file, the newest first.
pub(crate) async fn csv(
    request: &ConsoleRequest,
    name: RepositoryName,
) -> Result<Response, ConsoleError> {
    let mut file = CsvFile::new("time,kind,actor,way,image,tag,digest");
    let mut start = Some(String::new());
    while let Some(position) = start {
        let page = PageRequest { start: position, limit: ROWS_AT_ONCE };
        let listed = list(request, &name, None, page).await?;
        for entry in listed.entries {
            file.push(&[
                time_text(entry.at),
                entry.action.as_str().to_owned(),
                entry.principal,
                entry.way.as_str().to_owned(),
                entry.image.unwrap_or_default(),
                entry.tag.unwrap_or_default(),
                entry.digest.map_or(String::new(), |digest| digest.to_string()),
            ]);
        }
        start = file.end_page(listed.next);
    }
    Ok(file.answer(request, &name.repository, "activity"))
}
