//! The search for images by the beginning of their names, and for versions by their digest. The results are those that
//! the caller may see, and nothing tells of others.

use std::collections::BTreeMap;

use identity::Caller;
use meta::search::{self, FoundImage, PrefixPosition};
use meta::{Id, Tx};
use model::artifact_name::PackageName;
use model::digest::Digest;
use model::permissions::artifactregistry;
use model::resource::Resource;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::page::ListPage;

/// The number of images that one transaction looks at.
const ROWS_AT_ONCE: i64 = 500;
/// The most images that are looked at for one page.
const MAX_EXAMINED: usize = 10_000;
/// The most repositories whose policies are asked for one page.
const MAX_REPOSITORIES: usize = 2_000;
/// The most images of a page.
const MAX_FOUND: usize = 50;
/// The longest beginning of a name in bytes that is searched for. No name is longer.
const MAX_PREFIX: usize = 255;

/// The text that a search is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchTarget {
    /// The beginning of the name of an image.
    Prefix(String),
    /// The digest of a version.
    Version(Digest),
}

/// A position in the results of a search: of a name with a repository, or of an image.
#[derive(Debug, Clone)]
struct SearchPosition {
    image: String,
    id: Id,
}

impl SearchTarget {
    /// Parses the text of a search. Returns `None` for a text that no name begins with.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(digest) = text.parse() {
            return Some(Self::Version(digest));
        }
        let is_of_name = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-/".contains(&byte)
        };
        let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let is_prefix = begins && text.len() <= MAX_PREFIX && text.bytes().all(is_of_name);
        is_prefix.then(|| Self::Prefix(text.to_owned()))
    }

    fn first_position(&self) -> SearchPosition {
        let image = match self {
            Self::Prefix(prefix) => prefix.clone(),
            Self::Version(_) => String::new(),
        };
        SearchPosition { image, id: Id::from([0; 16]) }
    }

    fn position_of(&self, found: &FoundImage) -> SearchPosition {
        match self {
            Self::Prefix(_) => {
                SearchPosition { image: found.image.clone(), id: found.repository_id }
            }
            Self::Version(_) => SearchPosition { image: String::new(), id: found.package },
        }
    }

    fn list_after(
        &self,
        tx: &mut Tx<'_>,
        last: &SearchPosition,
    ) -> Result<Vec<FoundImage>, EngineError> {
        let SearchPosition { image, id } = last;
        Ok(match self {
            Self::Prefix(prefix) => {
                let last = PrefixPosition { image: image.clone(), repository: *id };
                search::list_by_prefix(tx, prefix, &last, ROWS_AT_ONCE)?
            }
            Self::Version(digest) => search::list_by_digest(tx, digest, id, ROWS_AT_ONCE)?,
        })
    }

    /// Returns the name of the list of results, to which its page tokens are bound.
    fn list_name(&self) -> String {
        match self {
            Self::Prefix(prefix) => format!("search for {prefix}"),
            Self::Version(digest) => format!("search for {digest}"),
        }
    }
}

impl SearchPosition {
    fn to_text(&self) -> String {
        format!("{} {}", self.id, self.image)
    }

    fn parse(text: &str) -> Option<Self> {
        // The position of a version has no name, and its space is cut off.
        let (id, image) = text.split_once(' ').unwrap_or((text, ""));
        Some(Self { id: id.parse().ok()?, image: image.to_owned() })
    }
}

impl Engine {
    /// Returns the images that a search finds and that the caller may see. `start` is empty, or the `next` of the page
    /// before.
    ///
    /// A page looks at a bounded number of images and repositories. Where very many match that the caller may not see,
    /// the page may be short or empty, and still have a next one. The position of that is sealed, so that it does not
    /// tell a name.
    pub async fn search(
        &self,
        caller: &Caller,
        target: SearchTarget,
        start: &str,
    ) -> Result<ListPage<PackageName>, EngineError> {
        let list = target.list_name();
        let mut last = match start {
            "" => target.first_position(),
            token => {
                let opened = self.identity.open_cursor(&list, token);
                let position = opened.and_then(|text| SearchPosition::parse(&text));
                position.ok_or_else(|| EngineError::invalid("page", "is not of this search"))?
            }
        };
        let (mut page, mut rights, mut examined) = (ListPage::empty(), BTreeMap::new(), 0);
        'pages: while examined < MAX_EXAMINED {
            let (wanted, from) = (target.clone(), last.clone());
            let found = self.read(move |tx| wanted.list_after(tx, &from)).await?;
            let is_end = (found.len() as i64) < ROWS_AT_ONCE;
            examined += found.len();
            for found in found {
                let position = target.position_of(&found);
                if let Some(image) = self.visible_image(caller, found, &mut rights).await? {
                    if page.entries.len() == MAX_FOUND {
                        break 'pages;
                    }
                    page.entries.push(image);
                }
                last = position;
                if rights.len() == MAX_REPOSITORIES {
                    break 'pages;
                }
            }
            if is_end {
                return Ok(page);
            }
        }
        page.next = Some(self.identity.seal_cursor(&list, &last.to_text())?);
        Ok(page)
    }

    /// Returns an image if the caller may see the images of its repository. `rights` has the answers for repositories.
    async fn visible_image(
        &self,
        caller: &Caller,
        found: FoundImage,
        rights: &mut BTreeMap<Id, bool>,
    ) -> Result<Option<PackageName>, EngineError> {
        let FoundImage { repository_id, repository, image, .. } = found;
        let is_visible = match rights.get(&repository_id) {
            Some(is_visible) => *is_visible,
            None => {
                let resource = Resource::Repository(repository.clone());
                let permission = artifactregistry::PACKAGES_LIST;
                let may = self.identity.may(caller, permission, &resource).await?;
                rights.insert(repository_id, may);
                may
            }
        };
        let image = image.parse().ok().filter(|_| is_visible);
        Ok(image.map(|image| PackageName { repository, image }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_searches() {
        let check = |text: &str, expected: &str| {
            let actual = match SearchTarget::parse(text) {
                Some(SearchTarget::Prefix(prefix)) => prefix,
                Some(SearchTarget::Version(_)) => "a version".to_owned(),
                None => "nothing".to_owned(),
            };
            assert_eq!(actual, expected, "{text}");
        };
        for prefix in ["app", "team/", "team/app-", "a.b_c", "0"] {
            check(prefix, prefix);
        }
        check(Digest::of(b"m").as_str(), "a version");
        for text in ["", "App", "/app", ".app", "a b", "<b>", "sha256:abc", "é", &"a".repeat(256)]
        {
            check(text, "nothing");
        }
    }
}
