//! The history of the tags of an image, the newest change first.

use identity::Authorized;
use meta::Id;
use meta::tag_history::{self, HistoryQuery};
use meta::tags::TagChange;
use model::artifact_name::PackageName;
use model::permissions::artifactregistry;
use model::reference::Tag;
use model::repository::ModeName;

use crate::artifacts::listing::{RowFilter, read_page};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::page::{ListPage, PageRequest, merge_lists};

/// The id that sorts after all others, from which a list begins with the newest row.
pub(crate) const AFTER_ALL_IDS: [u8; 16] = [u8::MAX; 16];

impl Engine {
    /// Lists the changes of the tags of an image, or of one tag, the newest first. A deleted tag keeps its history, and
    /// an image that was deleted has none.
    ///
    /// For a virtual repository, these are the changes in all its upstreams that hold the image, whichever of them
    /// answers for a tag. They name no principals then: whoever reads the virtual repository may not see its upstreams.
    pub async fn tag_history(
        &self,
        authorized: &Authorized,
        name: &PackageName,
        tag: Option<Tag>,
        page: PageRequest,
    ) -> Result<ListPage<TagChange>, EngineError> {
        let context = self.image_context(authorized, artifactregistry::TAGS_LIST, name).await?;
        let packages = self.packages_of_list(&context).await?;
        let hides_people = context.repository().mode == ModeName::Virtual;
        self.read(move |tx| {
            let page = read_page(
                page.clone(),
                |last, limit| {
                    let last = position(last)?;
                    let tag = tag.as_ref().map(Tag::as_str);
                    let mut lists = Vec::new();
                    for package in &packages {
                        let query = HistoryQuery { package, tag, last: &last, limit };
                        lists.push(tag_history::list(tx, query)?);
                    }
                    let mut changes = merge_lists(lists, |(a, _), (b, _)| b.cmp(a));
                    changes.truncate(limit as usize);
                    Ok(changes)
                },
                |(id, _)| id.to_string(),
                |(_, change)| RowFilter::Include(change.tag.len() + 400),
            )?;
            let shown = |(_, change): (Id, TagChange)| match hides_people {
                true => TagChange { principal: String::new(), ..change },
                false => change,
            };
            Ok(page.map(shown))
        })
        .await
    }
}

fn position(text: &str) -> Result<Id, EngineError> {
    if text.is_empty() {
        return Ok(Id::from(AFTER_ALL_IDS));
    }
    text.parse().map_err(|_| EngineError::invalid("page", "is no position in the history of tags"))
}
