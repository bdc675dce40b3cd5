//! The activity of a repository and of an image: what happened there, the newest first.

use identity::{Authorized, Micros};
use meta::Id;
use meta::activity::{self, ActivityPosition};
use meta::change_way::ChangeWay;
use meta::day_counts::{self, CountedScope, DayCounts};
use meta::events::{AuditEvent, EventAction};
use meta::packages;
use model::digest::Digest;
use model::name::{ImageName, RepositoryName};
use model::permissions::artifactregistry;

use crate::access::find_repository;
use crate::artifacts::listing::{RowFilter, read_page};
use crate::artifacts::tag_history::AFTER_ALL_IDS;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::page::{ListPage, PageRequest};

/// The repository or the image whose activity is listed.
#[derive(Debug, Clone)]
pub enum ActivityScope {
    /// A repository with all its images.
    Repository(RepositoryName),
    /// One image, which may be deleted.
    Image(RepositoryName, ImageName),
}

/// The events that a list of activity shows. The default shows all.
#[derive(Debug, Clone, Default)]
pub struct ActivityFilter {
    /// The only principal whose changes are shown.
    pub actor: Option<String>,
    /// The kinds of changes that are shown. If it is empty, all are.
    pub kinds: Vec<EventAction>,
    /// The time of the first change that is shown.
    pub since: Option<Micros>,
    /// The time before which the last change that is shown was made.
    pub until: Option<Micros>,
}

/// A change of a repository or of something in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivityEntry {
    /// The time of the change.
    pub at: Micros,
    /// The kind of change.
    pub action: EventAction,
    /// The principal that made the change.
    pub principal: String,
    /// The name of the image, if the change is about an image.
    pub image: Option<String>,
    /// The tag, if the change is about a tag.
    pub tag: Option<String>,
    /// The digest, if the change is about a manifest.
    pub digest: Option<Digest>,
    /// The way by which the change came.
    pub way: ChangeWay,
}

impl ActivityFilter {
    fn decide(&self, event: &AuditEvent) -> RowFilter {
        if self.since.is_some_and(|since| event.occurred_at < since) {
            return RowFilter::Stop;
        }
        let by = self.actor.as_ref().is_none_or(|actor| *actor == event.principal);
        let of_kind = self.kinds.is_empty() || self.kinds.contains(&event.action);
        RowFilter::include_if(by && of_kind, 600)
    }

    /// Returns the position before which the newest event that can be shown is.
    fn first_position(&self) -> ActivityPosition {
        match self.until {
            Some(until) => ActivityPosition { occurred_at: until, event: Id::from([0; 16]) },
            None => ActivityPosition { occurred_at: i64::MAX, event: Id::from(AFTER_ALL_IDS) },
        }
    }
}

impl Engine {
    /// Lists what happened in a repository or to an image, the newest first. What happened to a repository of the same
    /// name before this one was created is not part of the list. A page looks at a bounded number of events: it may be
    /// short or empty and still have a next one.
    pub async fn activity(
        &self,
        authorized: &Authorized,
        scope: ActivityScope,
        filter: ActivityFilter,
        page: PageRequest,
    ) -> Result<ListPage<ActivityEntry>, EngineError> {
        let (name, image) = match scope {
            ActivityScope::Repository(name) => (name, None),
            ActivityScope::Image(name, image) => (name, Some(image)),
        };
        authorized.require_repository(artifactregistry::REPOSITORIES_GET, &name)?;
        self.read(move |tx| {
            let repository = find_repository(tx, &name)?.id;
            let image = image.as_ref().map(ImageName::as_str);
            let scope = activity::ActivityScope { repository: &repository, image };
            let page = read_page(
                page.clone(),
                |last, limit| {
                    let last = match last {
                        "" => filter.first_position(),
                        last => parse_position(last)?,
                    };
                    Ok(activity::list(tx, scope, last, limit)?)
                },
                |(id, event)| format!("{} {id}", event.occurred_at),
                |(_, event)| filter.decide(event),
            )?;
            Ok(page.map(|(_, event)| entry(event)))
        })
        .await
    }
}

impl Engine {
    /// Returns the pulls and pushes of the last 30 days, of a repository or an image. Days without any are left out,
    /// and an image that was deleted has none. Pulls and pushes of the last half minute may be missing.
    pub async fn activity_days(
        &self,
        authorized: &Authorized,
        scope: ActivityScope,
    ) -> Result<Vec<DayCounts>, EngineError> {
        let (name, image) = match scope {
            ActivityScope::Repository(name) => (name, None),
            ActivityScope::Image(name, image) => (name, Some(image)),
        };
        authorized.require_repository(artifactregistry::REPOSITORIES_GET, &name)?;
        let first = self.first_day();
        self.read(move |tx| {
            let repository = find_repository(tx, &name)?.id;
            let scope = match &image {
                Some(image) => match packages::find(tx, &repository, image.as_str())? {
                    Some(package) => CountedScope::Image(package),
                    None => return Ok(Vec::new()),
                },
                None => CountedScope::Repository(repository),
            };
            Ok(day_counts::list(tx, scope, first)?)
        })
        .await
    }
}

fn entry(event: AuditEvent) -> ActivityEntry {
    ActivityEntry {
        at: event.occurred_at,
        action: event.action,
        principal: event.principal,
        image: event.place.and_then(|place| place.image),
        tag: event.tag,
        digest: event.digest,
        way: event.way,
    }
}

fn parse_position(text: &str) -> Result<ActivityPosition, EngineError> {
    let position = text.split_once(' ').and_then(|(occurred_at, event)| {
        Some(ActivityPosition {
            occurred_at: occurred_at.parse().ok()?,
            event: event.parse().ok()?,
        })
    });
    position.ok_or_else(|| EngineError::invalid("page", "is no position in a list of events"))
}
