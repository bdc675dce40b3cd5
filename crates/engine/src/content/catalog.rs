//! The catalog: the images of a location that a caller may read.

use identity::Caller;
use meta::packages::{self, CatalogEntry};
use model::name::{Location, RepositoryName};
use model::resource::Resource;

use crate::content::tag_list::{NamePage, ROWS_AT_ONCE};
use crate::engine::Engine;
use crate::error::EngineError;
use model::permissions::artifactregistry;

/// The largest number of repositories that one request may find unreadable.
const MOST_HIDDEN: usize = 2_000;
/// The largest number of images of unreadable repositories that one request skips one by one.
const MOST_PASSED: usize = 10 * ROWS_AT_ONCE;

impl Engine {
    /// Lists the images of a location that the caller may read, as PROJECT/REPOSITORY/IMAGE in byte order.
    ///
    /// Repositories that the caller may not read are skipped as a whole. Where there are very many of them, the page
    /// ends among them, perhaps without a name. The position of the next page is sealed then, so that it does not
    /// tell the name of an unreadable repository.
    pub async fn catalog(
        &self,
        caller: &Caller,
        location: &Location,
        (last, limit): (&str, usize),
    ) -> Result<NamePage, EngineError> {
        let mut page = NamePage::default();
        if limit == 0 {
            return Ok(page);
        }
        let list = format!("catalog of {location}");
        let mut from = self.identity.open_cursor(&list, last).unwrap_or_else(|| last.to_owned());
        let (mut hidden, mut passed) = (0, 0);
        'looking: while passed < MOST_PASSED {
            let (place, after) = (location.clone(), from.clone());
            let entries = self
                .read(move |tx| {
                    Ok(packages::list_catalog(tx, &place, &after, ROWS_AT_ONCE as i64)?)
                })
                .await?;
            let end = entries.len() < ROWS_AT_ONCE;
            for entry in entries {
                if entry.path <= from {
                    passed += 1;
                    continue;
                }
                let name = repository(location, &entry);
                if !self.may_list(caller, name.as_ref()).await? {
                    if hidden == MOST_HIDDEN {
                        break 'looking;
                    }
                    hidden += 1;
                    from = name.map_or(entry.path, |hidden| past(&hidden));
                    continue;
                }
                if page.names.len() == limit {
                    page.next = page.names.last().cloned();
                    return Ok(page);
                }
                from.clone_from(&entry.path);
                page.names.push(entry.path);
            }
            if end {
                return Ok(page);
            }
        }
        page.next = Some(self.identity.seal_cursor(&list, &from)?);
        Ok(page)
    }
}

impl Engine {
    async fn may_list(
        &self,
        caller: &Caller,
        name: Option<&RepositoryName>,
    ) -> Result<bool, EngineError> {
        let Some(name) = name else { return Ok(false) };
        // A token for some images lists those of the repositories that it is for.
        if !caller.scope.covers_list_of(&name.location, &name.path()) {
            return Ok(false);
        }
        let resource = Resource::Repository(name.clone());
        Ok(self
            .identity
            .may(caller, artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS, &resource)
            .await?)
    }
}

fn repository(location: &Location, entry: &CatalogEntry) -> Option<RepositoryName> {
    Some(RepositoryName {
        project: entry.project.parse().ok()?,
        location: location.clone(),
        repository: entry.repository.parse().ok()?,
    })
}

/// Returns a text that sorts after all images of a repository: '0' follows '/' in ASCII.
fn past(name: &RepositoryName) -> String {
    format!("{}0", name.path())
}
