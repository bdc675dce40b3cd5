//! The upstreams of a remote or virtual repository, and which of them an image comes from.

use askama::Template;
use axum::response::Response;
use engine::{PullExplanation, UpstreamExplanation, UpstreamState};
use jiff::Timestamp;
use model::name::RepositoryName;
use model::permissions::artifactregistry;
use model::repository::{ModeName, RemoteUpstream, RepositoryMode};
use model::resource::Resource;

use crate::error::ConsoleError;
use crate::frame::Frame;
use crate::html::Untrusted;
use crate::links::Link;
use crate::page;
use crate::request::ConsoleRequest;
use crate::texts::Texts;

#[derive(Template)]
#[template(path = "upstreams.html")]
struct UpstreamsPage {
    frame: Frame,
    name: String,
    location: Option<String>,
    rows: Vec<UpstreamEntry>,
    state: Vec<String>,
    /// True if there are repositories of this registry that are asked in turn.
    has_choice: bool,
    image: String,
    explanation: Option<Explanation>,
}

struct UpstreamEntry {
    id: String,
    priority: String,
    source: Untrusted,
    link: Option<Link>,
}

struct Explanation {
    summary: String,
    rows: Vec<ExplainedUpstream>,
}

struct ExplainedUpstream {
    id: String,
    repository: String,
    outcome: String,
    milliseconds: String,
    is_answering: bool,
}

pub(crate) async fn show(
    request: &ConsoleRequest,
    name: RepositoryName,
) -> Result<Response, ConsoleError> {
    let repository = request.repository(&name).await?;
    if repository.mode == ModeName::Standard {
        return Err(ConsoleError::NotFound);
    }
    let mode = RepositoryMode::parse(repository.mode, &repository.settings);
    let mode = mode.map_err(|error| ConsoleError::Internal(error.to_string()))?;
    let image = request.query.get("image").unwrap_or_default().trim().to_owned();
    let has_choice = mode.registry_url().is_none();
    let explanation = match image.as_str() {
        image if has_choice && !image.is_empty() => Some(explain(request, &name, image).await?),
        _ => None,
    };
    let mut rows = Vec::new();
    for row in entries(request, &mode) {
        rows.push(visible(request, row).await?);
    }
    let address = request.app.registry_uri(&name);
    let state = request.engine().upstream_state(&repository);
    let state = state.map(|state| state_texts(request.texts, &state)).unwrap_or_default();
    let title = format!("{} · {}", request.texts.upstreams(), name.repository);
    let shown = UpstreamsPage {
        frame: request
            .repository_frame(&name, repository.mode, title)
            .await?
            .with_commands(vec![format!("berth explain {address}/IMAGE:TAG")]),
        location: request.other_location(&name),
        name: name.repository.to_string(),
        rows,
        state,
        has_choice,
        image,
        explanation,
    };
    Ok(page::show(request, &shown))
}

/// Returns what this process knows of another registry, in sentences.
fn state_texts(t: Texts, state: &UpstreamState) -> Vec<String> {
    let mut texts = Vec::new();
    if state.is_silent {
        texts.push(t.upstream_is_silent().to_owned());
    }
    if let Some(limit) = &state.rate_limit {
        texts.push(t.upstream_remaining(&limit.remaining.to_string()));
    }
    if let Some(at) = state.retry_after.and_then(|at| Timestamp::from_microsecond(at).ok()) {
        texts.push(t.upstream_retry_after(&at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()));
    }
    if let Some(at) = state.last_failure.and_then(|last| Timestamp::from_microsecond(last.at).ok())
    {
        texts.push(t.upstream_last_failure(&at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()));
    }
    texts
}

/// An upstream, and the repository of this registry that it is.
struct ConfiguredUpstream {
    id: String,
    priority: String,
    url: String,
    repository: Option<RepositoryName>,
}

fn entries(request: &ConsoleRequest, mode: &RepositoryMode) -> Vec<ConfiguredUpstream> {
    let remote = |url: String, repository: Option<RepositoryName>| ConfiguredUpstream {
        id: request.texts.upstream().to_owned(),
        priority: String::new(),
        url,
        repository,
    };
    match mode {
        RepositoryMode::Standard => Vec::new(),
        RepositoryMode::Remote(RemoteUpstream::Url(url)) => vec![remote(url.clone(), None)],
        RepositoryMode::Remote(RemoteUpstream::Repository(name)) => {
            vec![remote(String::new(), Some(name.clone()))]
        }
        RepositoryMode::Virtual(upstreams) => {
            let entry = |policy: &model::repository::UpstreamPolicy| ConfiguredUpstream {
                id: policy.id.clone(),
                priority: policy.priority.to_string(),
                url: String::new(),
                repository: Some(policy.repository.clone()),
            };
            upstreams.policies.iter().map(entry).collect()
        }
    }
}

/// Returns the row of an upstream. A repository that the viewer may not read is shown by its id only.
async fn visible(
    request: &ConsoleRequest,
    upstream: ConfiguredUpstream,
) -> Result<UpstreamEntry, ConsoleError> {
    let ConfiguredUpstream { id, priority, url, repository } = upstream;
    let Some(name) = repository else {
        return Ok(UpstreamEntry { id, priority, source: Untrusted::short(url), link: None });
    };
    let permission = artifactregistry::REPOSITORIES_GET;
    let may_see = request.may(permission, &Resource::Repository(name.clone())).await?;
    let source = if may_see { name.path() } else { "—".to_owned() };
    let link = may_see.then(|| request.links.repository(&name));
    Ok(UpstreamEntry { id, priority, source: Untrusted::short(source), link })
}

async fn explain(
    request: &ConsoleRequest,
    name: &RepositoryName,
    image: &str,
) -> Result<Explanation, ConsoleError> {
    let permission = artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS;
    let authorized = request.authorize(permission, Resource::Repository(name.clone())).await?;
    let explained = request.engine().explain_pull(&authorized, name, image).await?;
    let PullExplanation { upstreams, answering } = explained;
    let t = request.texts;
    let summary = match answering.and_then(|position| upstreams.get(position)) {
        Some(upstream) => t.answered_by(&upstream.policy_id),
        None => t.no_upstream_has_it().to_owned(),
    };
    let row = |(position, upstream): (usize, UpstreamExplanation)| ExplainedUpstream {
        outcome: t.upstream_outcome(&upstream.outcome),
        id: upstream.policy_id,
        repository: upstream.repository.map_or(String::new(), |name| name.path()),
        milliseconds: format!("{:.1} ms", upstream.micros as f64 / 1000.0),
        is_answering: answering == Some(position),
    };
    Ok(Explanation { summary, rows: upstreams.into_iter().enumerate().map(row).collect() })
}
