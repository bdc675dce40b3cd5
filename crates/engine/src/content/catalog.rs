//! The catalog: the images of a location that a caller may read.

use identity::Caller;
use meta::packages::{self, CatalogEntry};
use model::name::{Location, RepositoryName};
use model::resource::Resource;

use crate::content::tag_list::ROWS_AT_ONCE;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::page::{ListPage, PageRequest};
use model::permissions::artifactregistry;

/// The largest number of repositories that one request may find unreadable.
const MAX_HIDDEN_REPOSITORIES: usize = 2_000;
/// The largest number of images of unreadable repositories that one request skips one by one.
const MAX_SKIPPED_IMAGES: usize = 10 * ROWS_AT_ONCE;

impl Engine {
    /// Lists the images of a location that the caller may read, as PROJECT/REPOSITORY/IMAGE in byte order.
    ///
    /// Repositories that the caller may not read are skipped as a whole. Where there are very many of them, the page
    /// ends among them, perhaps without a name. The position of the next page is sealed then, so that it does not
    /// tell the name of an unreadable repository.
    pub async fn list_catalog(
        &self,
        caller: &Caller,
        location: &Location,
        request: PageRequest,
    ) -> Result<ListPage<String>, EngineError> {
        let PageRequest { start, limit } = request;
        let mut page = ListPage::empty();
        if limit == 0 {
            return Ok(page);
        }
        let list = format!("catalog of {location}");
        let mut from = self.identity.open_cursor(&list, &start).unwrap_or(start);
        let (mut hidden, mut skipped) = (0, 0);
        'pages: while skipped < MAX_SKIPPED_IMAGES {
            let (wanted, after) = (location.clone(), from.clone());
            let entries = self
                .read(move |tx| {
                    Ok(packages::list_catalog(tx, &wanted, &after, ROWS_AT_ONCE as i64)?)
                })
                .await?;
            let end = entries.len() < ROWS_AT_ONCE;
            for entry in entries {
                if entry.path <= from {
                    skipped += 1;
                    continue;
                }
                let name = repository_name(location, &entry);
                if !self.may_list(caller, name.as_ref()).await? {
                    if hidden == MAX_HIDDEN_REPOSITORIES {
                        break 'pages;
                    }
                    hidden += 1;
                    from = name.map_or(entry.path, |hidden| after_images_of(&hidden));
                    continue;
                }
                if page.entries.len() == limit {
                    page.next = page.entries.last().cloned();
                    return Ok(page);
                }
                from.clone_from(&entry.path);
                page.entries.push(entry.path);
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

fn repository_name(location: &Location, entry: &CatalogEntry) -> Option<RepositoryName> {
    Some(RepositoryName {
        project: entry.project.parse().ok()?,
        location: location.clone(),
        repository: entry.repository.parse().ok()?,
    })
}

/// Returns a text that sorts after all images of a repository: '0' follows '/' in ASCII.
fn after_images_of(name: &RepositoryName) -> String {
    format!("{}0", name.path())
}
