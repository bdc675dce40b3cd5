//! Changes of counters (table `usage_deltas`). They are inserted as new rows, so that concurrent transactions do not all
//! update the row of a repository or an image. What is read is a counter plus its open deltas.

use crate::{Id, MetaError, Tx, params};

/// An image by the ids of its repository and its own.
#[derive(Debug, Clone, Copy)]
pub struct ImageKey<'a> {
    /// The id of the repository.
    pub repository: &'a Id,
    /// The id of the image.
    pub package: &'a Id,
}

/// Records that a repository grew or shrank by a number of bytes.
pub fn add_delta(tx: &mut Tx<'_>, repository: &Id, bytes: i64) -> Result<(), MetaError> {
    insert(tx, repository, None, &UsageDelta { bytes, ..UsageDelta::default() })
}

/// Changes of the counters of a repository and of one of its images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UsageDelta {
    /// The bytes that the repository holds.
    pub bytes: i64,
    /// The images of the repository.
    pub images: i64,
    /// The versions of the image.
    pub versions: i64,
    /// The tags of the image.
    pub tags: i64,
    /// The untagged versions of the image.
    pub untagged: i64,
    /// The sum of the lengths of the image's manifests.
    pub manifest_bytes: i64,
    /// The pushes of manifests.
    pub pushes: i64,
    /// The time of the last of these pushes.
    pub pushed_at: Option<i64>,
    /// True if the image names other blobs than before, or blobs that have come since.
    pub content_changed: bool,
}

impl UsageDelta {
    pub(crate) fn add(&mut self, more: &Self) {
        self.bytes += more.bytes;
        self.images += more.images;
        self.versions += more.versions;
        self.tags += more.tags;
        self.untagged += more.untagged;
        self.manifest_bytes += more.manifest_bytes;
        self.pushes += more.pushes;
        self.pushed_at = self.pushed_at.max(more.pushed_at);
        self.content_changed |= more.content_changed;
    }
}

/// Records changes of the counters of a repository and of one of its images.
pub fn add_image_delta(
    tx: &mut Tx<'_>,
    image: ImageKey<'_>,
    delta: &UsageDelta,
) -> Result<(), MetaError> {
    insert(tx, image.repository, Some(image.package), delta)
}

/// Records that a repository has gained or lost images.
pub fn add_images(tx: &mut Tx<'_>, repository: &Id, images: i64) -> Result<(), MetaError> {
    insert(tx, repository, None, &UsageDelta { images, ..UsageDelta::default() })
}

fn insert(
    tx: &mut Tx<'_>,
    repository: &Id,
    package: Option<&Id>,
    delta: &UsageDelta,
) -> Result<(), MetaError> {
    if *delta == UsageDelta::default() {
        return Ok(());
    }
    tx.execute(
        "INSERT INTO usage_deltas (id, repository_id, package_id, bytes, images, versions, tags, untagged,
           manifest_bytes, pushes, pushed_at, content_changed)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        params![
            &Id::new(),
            repository,
            package,
            delta.bytes,
            delta.images,
            delta.versions,
            delta.tags,
            delta.untagged,
            delta.manifest_bytes,
            delta.pushes,
            delta.pushed_at,
            delta.content_changed
        ],
    )?;
    Ok(())
}
