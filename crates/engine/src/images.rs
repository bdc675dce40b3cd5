//! Images as the APIs show them: lists of manifests, of images and of tags, and each of these.

use meta::images::{self, ByTime, Image};
use meta::packages::{self, Package};
use meta::{Id, Tx, repositories, tags};
use model::artifact::{PackageName, TagName, VersionName};
use model::digest::Digest;
use model::filter::{Direction, Filter, Pattern};
use model::name::RepositoryName;

use crate::tagging::{find_package, find_tag, unknown_version};
use crate::{Admitted, Engine, EngineError};

/// How many rows one page looks at where few of them are wanted..
const MOST_LOOKED_AT: usize = 5_000;
/// ..and how many it reads at once.
const STEP: usize = 1_000;

/// What stands behind all names and digests.
const BEHIND_ALL: &str = "~";

/// A page of a list.
#[derive(Debug)]
pub struct ListPage<T> {
    /// What is on it.
    pub found: Vec<T>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

/// What a list of manifests goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageOrder {
    /// When they came.
    Uploaded,
    /// When they came or were last tagged.
    Updated,
}

/// What a list of an image's manifests goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionOrder {
    /// Their digests.
    Name,
    /// When they came or were last tagged.
    Updated,
}

/// A tag, and what it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagOf {
    /// The tag.
    pub tag: String,
    /// The digest.
    pub digest: Digest,
}

impl Engine {
    /// The manifests of a repository, whatever their images.
    pub async fn docker_images(
        &self,
        admitted: &Admitted,
        repository: &RepositoryName,
        (order, direction): (ImageOrder, Direction),
        (start, limit): (&str, usize),
    ) -> Result<ListPage<Image>, EngineError> {
        admitted.to_repository("artifactregistry.dockerimages.list", repository)?;
        let list = match order {
            ImageOrder::Uploaded => images::OF_REPOSITORY_BY_UPLOAD,
            ImageOrder::Updated => images::OF_REPOSITORY_BY_UPDATE,
        };
        let (name, start) = (repository.clone(), start.to_owned());
        self.meta
            .read(move |tx| {
                let repository = find_repository(tx, &name)?;
                let look = |image: &Image| Look::wanted(!image.is_hidden());
                by_time(tx, (list, order, direction), &repository, (&start, limit), look)
            })
            .await
    }

    /// One manifest, by the permission to see Docker images.
    pub async fn docker_image(
        &self,
        admitted: &Admitted,
        name: &VersionName,
    ) -> Result<Image, EngineError> {
        self.image(admitted, "artifactregistry.dockerimages.get", name).await
    }

    /// One manifest, by the permission to see versions.
    pub async fn version(
        &self,
        admitted: &Admitted,
        name: &VersionName,
    ) -> Result<Image, EngineError> {
        self.image(admitted, "artifactregistry.versions.get", name).await
    }

    async fn image(
        &self,
        admitted: &Admitted,
        permission: &str,
        name: &VersionName,
    ) -> Result<Image, EngineError> {
        let at = self.opened(admitted, permission, &name.package).await?;
        let name = name.clone();
        self.meta
            .point(move |tx| {
                let package = find_package(tx, &at)?;
                images::find(tx, &package, &name.digest)?.ok_or_else(|| unknown_version(&name))
            })
            .await
    }

    /// The manifests of an image whose names match.
    pub async fn versions(
        &self,
        admitted: &Admitted,
        name: &PackageName,
        (filter, order, direction): (&Filter, VersionOrder, Direction),
        (start, limit): (&str, usize),
    ) -> Result<ListPage<Image>, EngineError> {
        let at = self.opened(admitted, "artifactregistry.versions.list", name).await?;
        let (name, filter, start) = (name.clone(), filter.clone(), start.to_owned());
        self.meta
            .read(move |tx| {
                let package = find_package(tx, &at)?;
                let shown = |image: &Image| format!("{name}/versions/{}", image.digest);
                let look = |image: &Image| Look::wanted(filter.matches(|_| shown(image)));
                match order {
                    VersionOrder::Updated => {
                        let list = (images::OF_PACKAGE_BY_UPDATE, ImageOrder::Updated, direction);
                        by_time(tx, list, &package, (&start, limit), look)
                    }
                    VersionOrder::Name => fill(
                        (first(&start, direction), limit),
                        |last, step| Ok(images::of_package(tx, direction, &package, last, step)?),
                        |image| image.digest.to_string(),
                        look,
                    ),
                }
            })
            .await
    }

    /// The images of a repository whose names match.
    pub async fn packages(
        &self,
        admitted: &Admitted,
        repository: &RepositoryName,
        (filter, direction): (&Filter, Direction),
        (start, limit): (&str, usize),
    ) -> Result<ListPage<Package>, EngineError> {
        admitted.to_repository("artifactregistry.packages.list", repository)?;
        let (name, filter) = (repository.clone(), filter.clone());
        let range = Names::new(&filter, &format!("{repository}/packages/"));
        let start = range.start(start, direction);
        self.meta
            .read(move |tx| {
                let id = find_repository(tx, &name)?;
                fill(
                    (start.clone(), limit),
                    |last, step| Ok(packages::list(tx, direction, &id, last, step)?),
                    |package| package.name.clone(),
                    |package| {
                        let image = package.name.replace('/', "%2F");
                        let shown = |_: &str| format!("{name}/packages/{image}");
                        range.look(&package.name, direction, filter.matches(shown))
                    },
                )
            })
            .await
    }

    /// One image.
    pub async fn package(
        &self,
        admitted: &Admitted,
        name: &PackageName,
    ) -> Result<Package, EngineError> {
        let at = self.opened(admitted, "artifactregistry.packages.get", name).await?;
        self.meta
            .point(move |tx| {
                let found = packages::describe(tx, &at.repository.id, at.image())?;
                let unknown =
                    || EngineError::ResourceUnknown(format!("Package \"{}\"", at.image()));
                found.ok_or_else(unknown)
            })
            .await
    }

    /// The tags of an image whose names, and what they name, match.
    pub async fn tags_of(
        &self,
        admitted: &Admitted,
        name: &PackageName,
        filter: &Filter,
        (start, limit): (&str, usize),
    ) -> Result<ListPage<TagOf>, EngineError> {
        let at = self.opened(admitted, "artifactregistry.tags.list", name).await?;
        let range = Names::new(filter, &format!("{name}/tags/"));
        let start = range.start(start, Direction::Up);
        let (name, filter) = (name.clone(), filter.clone());
        // Of one version there is an index.
        let version = filter.pattern("version").and_then(Pattern::exact).map(str::to_owned);
        self.meta
            .read(move |tx| {
                let package = find_package(tx, &at)?;
                let of_version = match &version {
                    None => None,
                    Some(version) => match version.parse::<VersionName>() {
                        Ok(version) if version.package == name => {
                            meta::versions::id_in_package(tx, &package, &version.digest)?
                                .map(|(id, _)| Some((id, version.digest)))
                                .unwrap_or_default()
                        }
                        Ok(_) | Err(_) => None,
                    },
                };
                if version.is_some() && of_version.is_none() {
                    return Ok(ListPage { found: Vec::new(), next: None });
                }
                let shown = |field: &str, tag: &TagOf| match field {
                    "version" => format!("{name}/versions/{}", tag.digest),
                    _ => format!("{name}/tags/{}", tag.tag),
                };
                fill(
                    (start.clone(), limit),
                    |last, step| match &of_version {
                        Some((id, digest)) => {
                            let names = tags::names_of_version(tx, id, last, step)?;
                            let tag = |tag| TagOf { tag, digest: digest.clone() };
                            Ok(names.into_iter().map(tag).collect())
                        }
                        None => {
                            let names = tags::names(tx, &package, last, step)?;
                            Ok(names
                                .into_iter()
                                .map(|(tag, digest)| TagOf { tag, digest })
                                .collect())
                        }
                    },
                    |tag| tag.tag.clone(),
                    |tag| {
                        let matches = filter.matches(|field| shown(field, tag));
                        range.look(&tag.tag, Direction::Up, matches)
                    },
                )
            })
            .await
    }

    /// What a tag names.
    pub async fn tag(&self, admitted: &Admitted, name: &TagName) -> Result<Digest, EngineError> {
        let at = self.opened(admitted, "artifactregistry.tags.get", &name.package).await?;
        let name = name.clone();
        self.meta
            .point(move |tx| {
                let package = find_package(tx, &at)?;
                Ok(find_tag(tx, &package, &name)?.digest)
            })
            .await
    }
}

fn find_repository(tx: &mut Tx<'_>, name: &RepositoryName) -> Result<Id, EngineError> {
    let found = repositories::find(tx, name)?.map(|repository| repository.id);
    found.ok_or_else(|| EngineError::ResourceUnknown(format!("Repository \"{name}\"")))
}

/// Where a list begins that has no place yet.
fn first(start: &str, direction: Direction) -> String {
    match (start, direction) {
        ("", Direction::Down) => BEHIND_ALL.to_owned(),
        (start, _) => start.to_owned(),
    }
}

/// The names that can match a filter: those that begin with a text.
struct Names(String);

impl Names {
    /// `parent` is what all full names of the list begin with.
    fn new(filter: &Filter, parent: &str) -> Self {
        let wanted = filter.pattern("name").map_or("", Pattern::beginning);
        Self(wanted.strip_prefix(parent).unwrap_or_default().replace("%2F", "/"))
    }

    /// Where a page begins: the first one not before the first name that can match.
    fn start(&self, start: &str, direction: Direction) -> String {
        match (start, direction) {
            // The name itself stands behind what it is without its last character.
            ("", Direction::Up) => {
                let mut before = self.0.clone();
                before.pop();
                before
            }
            ("", Direction::Down) => format!("{}{BEHIND_ALL}", self.0),
            (start, _) => start.to_owned(),
        }
    }

    fn look(&self, name: &str, direction: Direction, matches: bool) -> Look {
        let is_past = match direction {
            Direction::Up => name > self.0.as_str() && !name.starts_with(&self.0),
            Direction::Down => name < self.0.as_str(),
        };
        if is_past { Look::Behind } else { Look::wanted(matches) }
    }
}

/// A page of a list by time: its places are a time and an id.
fn by_time(
    tx: &mut Tx<'_>,
    (list, order, direction): (ByTime, ImageOrder, Direction),
    scope: &Id,
    (start, limit): (&str, usize),
    look: impl Fn(&Image) -> Look,
) -> Result<ListPage<Image>, EngineError> {
    let place = |image: &Image| {
        let time = match order {
            ImageOrder::Uploaded => image.uploaded_at,
            ImageOrder::Updated => image.updated_at,
        };
        format!("{time} {}", image.id)
    };
    let edge = match direction {
        Direction::Down => format!("{} {}", i64::MAX, Id::from([u8::MAX; 16])),
        Direction::Up => format!("{} {}", i64::MIN, Id::from([0; 16])),
    };
    let start = if start.is_empty() { edge } else { start.to_owned() };
    let rows = |last: &str, step| {
        let broken = || EngineError::Internal("a place in a list by time".to_owned());
        let (time, id) = last.split_once(' ').ok_or_else(broken)?;
        let time: i64 = time.parse().map_err(|_| broken())?;
        let id: Id = id.parse().map_err(|_| broken())?;
        Ok(images::by_time(tx, (list, direction), scope, (time, &id), step)?)
    };
    fill((start, limit), rows, place, look)
}

/// What a row is to a page.
enum Look {
    /// It comes on it.
    Wanted,
    /// It does not.
    Other,
    /// Neither it nor any that follows.
    Behind,
}

impl Look {
    fn wanted(wanted: bool) -> Self {
        if wanted { Self::Wanted } else { Self::Other }
    }
}

/// A page of at most `limit` rows that are wanted, of those that stand after a place. `rows` reads some of them.
fn fill<T>(
    (start, limit): (String, usize),
    mut rows: impl FnMut(&str, i64) -> Result<Vec<T>, EngineError>,
    place: impl Fn(&T) -> String,
    look: impl Fn(&T) -> Look,
) -> Result<ListPage<T>, EngineError> {
    let mut page = ListPage { found: Vec::new(), next: None };
    let (mut from, mut step, mut looked_at) = (start, limit + 1, 0);
    loop {
        let some = rows(&from, step as i64)?;
        let is_last = some.len() < step;
        looked_at += some.len();
        for row in some {
            match look(&row) {
                Look::Behind => return Ok(page),
                Look::Wanted if page.found.len() == limit => {
                    page.next = Some(from);
                    return Ok(page);
                }
                Look::Wanted => {
                    from = place(&row);
                    page.found.push(row);
                }
                Look::Other => from = place(&row),
            }
        }
        if is_last {
            return Ok(page);
        }
        if looked_at >= MOST_LOOKED_AT {
            page.next = Some(from);
            return Ok(page);
        }
        step = STEP;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers that are wanted of those below a bound, a page after the other.
    fn pages(below: usize, limit: usize, wanted: impl Fn(usize) -> bool) -> (Vec<usize>, usize) {
        let (mut all, mut start, mut count) = (Vec::new(), String::new(), 0);
        loop {
            let page = fill(
                (start, limit),
                |last, step| {
                    let from = last.parse().map_or(0, |last: usize| last + 1);
                    Ok((from..below).take(step as usize).collect())
                },
                usize::to_string,
                |number| Look::wanted(wanted(*number)),
            );
            let page = page.expect("nothing fails");
            assert!(page.found.len() <= limit);
            all.extend(page.found);
            count += 1;
            match page.next {
                Some(next) => start = next,
                None => return (all, count),
            }
        }
    }

    #[test]
    fn pages_hold_everything_once() {
        for below in [0, 1, 9, 10, 11, 99, 100, 101] {
            let (all, count) = pages(below, 10, |_| true);
            assert_eq!(all, (0..below).collect::<Vec<_>>());
            assert_eq!(count, below.div_ceil(10).max(1), "pages of {below}");
        }
        let (thirds, _) = pages(10_000, 10, |number| number % 3 == 0);
        assert_eq!(thirds, (0..10_000).step_by(3).collect::<Vec<_>>());
    }

    #[test]
    fn a_page_looks_at_no_more_than_so_many_rows() {
        let (found, count) = pages(20_000, 10, |number| number == 19_999);
        assert_eq!(found, [19_999]);
        assert!(count > 2, "{count} pages");
    }

    #[track_caller]
    fn check_names(filter: &str, expected: (&str, &str, &str)) {
        let filter = Filter::parse(filter, &["name", "version"]).expect("valid");
        let names = Names::new(&filter, "r/packages/");
        let looks: String = ["a", "ab", "abc", "ac", "b"]
            .iter()
            .map(|name| match names.look(name, Direction::Up, true) {
                Look::Wanted => 'w',
                Look::Other => 'o',
                Look::Behind => 'b',
            })
            .collect();
        let start = names.start("", Direction::Up);
        assert_eq!((start.as_str(), names.0.as_str(), looks.as_str()), expected);
    }

    #[test]
    fn names_that_can_match() {
        check_names("", ("", "", "wwwww"));
        check_names(r#"name="r/packages/ab*""#, ("a", "ab", "wwwbb"));
        check_names(r#"name="r/packages/a%2Fb""#, ("a/", "a/b", "wbbbb"));
        check_names(r#"name="*ab""#, ("", "", "wwwww"));
        check_names(r#"name="x/packages/ab""#, ("", "", "wwwww"));
    }
}
