//! Lists of remote repositories of other registries: the tags that the upstream has, and the manifests there that refer to
//! another one. The upstream is asked for all of a list, and then not again for the time for which tags are fresh.
//!
//! Tags are kept by their names alone. Manifests that refer to another one are fetched.

use std::collections::BTreeSet;
use std::time::Duration;

use meta::versions::ImageAddress;
use meta::{MetaError, Tx, upstream_tags};
use model::digest::Digest;
use model::reference::{Reference, Tag};
use tokio::time::timeout;

use crate::content::remote::RemoteSource;
use crate::content::source::{ContentSource, UpstreamSource};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::flights::ResultSender;
use crate::remote_fetch::{FetchKey, FetchOutcome, Freshness};
use crate::upstream_registry::UpstreamProblem;
use crate::upstream_set::RemoteRepository;

/// The longest time in which an upstream sends a list.
const LIST_TIME: Duration = Duration::from_secs(30);
/// The number of tags that are recorded in one transaction.
const TAGS_AT_ONCE: usize = 500;

/// A list of an upstream.
#[derive(Debug, Clone)]
pub(crate) enum UpstreamList {
    /// The tags of the image.
    Tags,
    /// The manifests that refer to this one.
    Referrers(Digest),
}

impl UpstreamList {
    /// Returns the reference under which looks for the list are recorded.
    fn reference(&self) -> String {
        match self {
            Self::Tags => format!("{}tags", upstream_tags::LIST_PREFIX),
            Self::Referrers(subject) => upstream_tags::referrers_list(subject),
        }
    }
}

impl ContentSource {
    /// Sees to it that the rows have what upstreams list. Returns the problem of a registry that could not be asked, for
    /// the case that the rows have nothing either.
    ///
    /// # Errors
    /// Fails at an upstream of a virtual repository that cannot answer, unless the failure policy passes it over.
    pub(crate) async fn prepare_list(
        &self,
        engine: &Engine,
        list: &UpstreamList,
    ) -> Result<Option<UpstreamProblem>, EngineError> {
        match self {
            Self::Local(_) => Ok(None),
            Self::Remote(source) => match source.prepare_list(list).await {
                Err(EngineError::Upstream(problem)) => Ok(Some(problem)),
                prepared => prepared.map(|()| None),
            },
            Self::Upstreams(source) => {
                source.prepare_lists(engine, list).await?;
                Ok(None)
            }
        }
    }
}

impl UpstreamSource {
    async fn prepare_lists(&self, engine: &Engine, list: &UpstreamList) -> Result<(), EngineError> {
        for upstream in self.asked() {
            for remote in upstream.registries(self.image.as_str()) {
                let prepared = self.prepare_list(engine, &remote, list).await;
                self.set.unless_passed_over(upstream, prepared)?;
            }
        }
        Ok(())
    }

    async fn prepare_list(
        &self,
        engine: &Engine,
        remote: &RemoteRepository,
        list: &UpstreamList,
    ) -> Result<(), EngineError> {
        match engine.upstream_source(remote, &self.image) {
            Ok(source) => match source.prepare_list(list).await {
                Err(EngineError::Upstream(problem)) if problem.is_not_found() => Ok(()),
                prepared => prepared,
            },
            Err(EngineError::ImageDenied { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl RemoteSource {
    /// Asks the upstream for a list, unless it was asked not long ago. A list that was asked for before may be stale.
    async fn prepare_list(&self, list: &UpstreamList) -> Result<(), EngineError> {
        let (image, reference) = (self.store.image.clone(), list.reference());
        let read = self
            .engine()
            .read_by_key(move |tx| Ok(upstream_tags::find(tx, image.address(), &reference)?));
        let look = read.await?;
        let time = self.fresh_time();
        if look.is_some_and(|look| time.is_fresh(&look)) || self.offline_problem().is_some() {
            return Ok(());
        }
        let (source, wanted) = (self.clone(), list.clone());
        let work = |sender: ResultSender<FetchKey, FetchOutcome>| async move {
            let fetched = match source.begin_fetch() {
                Ok(_place) => source.fetch_list(&wanted).await,
                Err(problem) => Err(problem),
            };
            sender.finish(fetched.map(|()| Freshness::Fresh));
        };
        let key = self.fetch_key(&list.reference());
        match self.engine().manifest_fetches.join(key, work).await {
            Some(Err(problem)) if look.is_some() => {
                tracing::warn!("showing a list as it was, because {problem}");
                Ok(())
            }
            Some(fetched) => Ok(fetched.map(drop)?),
            None => Err(EngineError::Internal("a fetch ended without a result".to_owned())),
        }
    }

    async fn fetch_list(&self, list: &UpstreamList) -> Result<(), UpstreamProblem> {
        let upstream = &self.engine().settings.upstreams;
        let credentials = self.credentials().await?;
        let image = self.upstream_image(credentials.as_ref());
        match list {
            UpstreamList::Tags => {
                let listing = upstream.list_tags(image);
                let tags = timeout(LIST_TIME, listing).await.map_err(|_| self.late())??;
                let tags = tags.into_iter().filter(|tag| tag.parse::<Tag>().is_ok()).collect();
                self.record_tags(tags).await.map_err(|error| self.not_stored(&error))?;
            }
            UpstreamList::Referrers(subject) => {
                let listing = upstream.list_referrers(image, subject);
                let referrers = timeout(LIST_TIME, listing).await.map_err(|_| self.late())??;
                for digest in referrers {
                    // One that cannot be fetched does not hide the others.
                    if let Err(error) = self.prepare_manifest(&Reference::Digest(digest)).await {
                        tracing::warn!(%error, "could not fetch a referrer: {error}");
                    }
                }
            }
        }
        self.record_look(&list.reference(), true).await;
        Ok(())
    }

    /// Records the tags that the upstream has, and forgets others.
    async fn record_tags(&self, tags: BTreeSet<String>) -> Result<(), EngineError> {
        let mut after = String::new();
        loop {
            let (image, from) = (self.store.image.clone(), after.clone());
            let read = self.engine().read(move |tx| {
                let limit = TAGS_AT_ONCE as i64;
                Ok(upstream_tags::list_found(tx, image.address(), &from, limit)?)
            });
            let known = read.await?;
            let gone = known.iter().filter(|tag| !tags.contains(*tag)).cloned().collect();
            self.change_tags(gone, upstream_tags::forget).await?;
            match known.last() {
                Some(last) if known.len() == TAGS_AT_ONCE => after.clone_from(last),
                _ => break,
            }
        }
        let tags: Vec<String> = tags.into_iter().collect();
        for slice in tags.chunks(TAGS_AT_ONCE) {
            self.change_tags(slice.to_vec(), upstream_tags::add_listed).await?;
        }
        Ok(())
    }

    async fn change_tags(
        &self,
        tags: Vec<String>,
        change: fn(&mut Tx<'_>, ImageAddress<'_>, &str) -> Result<(), MetaError>,
    ) -> Result<(), EngineError> {
        if tags.is_empty() {
            return Ok(());
        }
        let image = self.store.image.clone();
        let write = self.engine().write(move |tx| {
            image.check_live(tx)?;
            for tag in &tags {
                change(tx, image.address(), tag)?;
            }
            Ok(())
        });
        write.await
    }
}
