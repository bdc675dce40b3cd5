//! The tests that every kind of database passes: SQLite in a file, SQLite in memory, and PostgreSQL if
//! `TEST_POSTGRES_URL` names an administrator's database on a server. Each test has a database of its own.

mod cleanups;
mod content;
mod guards;
mod log;
mod outbox;
mod outcomes;
mod people;
mod plans;
mod pushes;
mod removals;
mod tables;
mod transactions;

use std::str::FromStr;

use model::digest::Digest;
use model::name::{ImagePath, RepositoryName};
use tempfile::TempDir;
use tokio_postgres::NoTls;

use crate::versions::{ContentReference, NewVersion, ReferenceBinding};
use crate::{DatabaseLocation, Id, Meta, MetaError, Tx, blobs, packages, repositories, versions};

/// A database that is deleted after its test has passed.
pub(crate) struct TestDatabase {
    pub(crate) meta: Meta,
    pub(crate) database: DatabaseLocation,
    _folder: Option<TempDir>,
}

impl TestDatabase {
    async fn open(database: DatabaseLocation, folder: Option<TempDir>) -> Self {
        let meta = Meta::open(database.clone()).await.expect("a new database opens");
        Self { meta, database, _folder: folder }
    }

    pub(crate) async fn file() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let database = DatabaseLocation::SqliteFile(folder.path().join("meta.db"));
        Some(Self::open(database, Some(folder)).await)
    }

    pub(crate) async fn memory() -> Option<Self> {
        Some(Self::open(DatabaseLocation::SqliteMemory, None).await)
    }

    /// Creates a database on the server, or returns `None` if there is no server.
    pub(crate) async fn postgres() -> Option<Self> {
        if std::env::var_os("TEST_POSTGRES_URL").is_none() {
            println!("SKIPPED: TEST_POSTGRES_URL is not set");
            return None;
        }
        let name = format!("meta_{}", Id::new());
        let server = administer(&format!("CREATE DATABASE {name}")).await;
        Some(Self::open(DatabaseLocation::Postgres(format!("{server}/{name}")), None).await)
    }

    pub(crate) async fn delete(self) {
        self.meta.close().await;
        if let DatabaseLocation::Postgres(url) = &self.database {
            let (_, name) = url.rsplit_once('/').unwrap();
            administer(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }

    pub(crate) async fn write<T: Send + 'static>(
        &self,
        closure: impl FnMut(&mut Tx<'_>) -> Result<T, MetaError> + Send + 'static,
    ) -> T {
        self.meta.write(closure).await.expect("it is written")
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        closure: impl FnMut(&mut Tx<'_>) -> Result<T, MetaError> + Send + 'static,
    ) -> T {
        self.meta.read(closure).await.expect("it is read")
    }
}

async fn administer(sql: &str) -> String {
    let admin = std::env::var("TEST_POSTGRES_URL").unwrap();
    let (client, connection) = tokio_postgres::connect(&admin, NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(sql).await.expect("TEST_POSTGRES_URL is an administrator's");
    admin.rsplit_once('/').unwrap().0.to_owned()
}

/// Turns each `async fn name(db: &TestDatabase)` into three tests, one for each kind of database.
macro_rules! on_each {
    ($($(#[$meta:meta])* async fn $name:ident($db:ident: $type:ty) $body:block)*) => {
        $(
            $(#[$meta])*
            async fn $name($db: $type) $body
        )*
        $crate::tests::on_each! { @on file $($name)* }
        $crate::tests::on_each! { @on memory $($name)* }
        $crate::tests::on_each! { @on postgres $($name)* }
    };
    (@on $where:ident $($name:ident)*) => {
        mod $where {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    if let Some(db) = $crate::tests::TestDatabase::$where().await {
                        super::$name(&db).await;
                        db.delete().await;
                    }
                }
            )*
        }
    };
}
pub(crate) use on_each;

pub(crate) const NOW: i64 = 1_700_000_000_000_000;

pub(crate) fn parsed<T: FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

pub(crate) fn repository_name(repository: &str) -> RepositoryName {
    RepositoryName { project: parsed("p"), location: parsed("us"), repository: parsed(repository) }
}

/// The ids of an image and of its repository.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TestImage {
    pub(crate) repository: Id,
    pub(crate) package: Id,
}

/// Creates an image and its repository if they are missing.
pub(crate) fn ensure_image(
    tx: &mut Tx<'_>,
    repository: &str,
    image: &str,
) -> Result<TestImage, MetaError> {
    let name = repository_name(repository);
    repositories::insert(tx, &name, false, NOW)?;
    let id = repositories::find(tx, &name)?.expect("it was just made").id;
    let path =
        ImagePath { project: name.project, repository: name.repository, image: parsed(image) };
    let package = packages::ensure(tx, &id, &path, &name.location, NOW)?.id;
    Ok(TestImage { repository: id, package })
}

/// Stores a blob with these bytes and links it. Returns the id of its copy.
pub(crate) fn add_blob(tx: &mut Tx<'_>, repository: &Id, bytes: &[u8]) -> Result<Id, MetaError> {
    let (id, digest, size) = (Id::new(), Digest::of(bytes), bytes.len() as i64);
    blobs::insert_copy(tx, &id, NOW)?;
    blobs::make_live(
        tx,
        &blobs::FinishedCopy { id: &id, digest: &digest, size, mtime_ns: 1, ctime_ns: 2, now: NOW },
    )?;
    blobs::link(tx, repository, &digest, size, NOW)?;
    Ok(id)
}

/// Makes a reference to content with these bytes.
pub(crate) fn reference(bytes: &[u8], binding: ReferenceBinding) -> ContentReference {
    ContentReference { digest: Digest::of(bytes), size: bytes.len() as i64, binding }
}

/// Stores a manifest with these bytes and references. Returns `None` if the image holds the manifest already.
pub(crate) fn add_manifest(
    tx: &mut Tx<'_>,
    test_image: &TestImage,
    bytes: &[u8],
    subject: Option<&Digest>,
    references: &[ContentReference],
) -> Result<Option<Id>, MetaError> {
    let new = NewVersion {
        repository_id: &test_image.repository,
        package_id: &test_image.package,
        digest: &Digest::of(bytes),
        bytes,
        media_type: "application/vnd.oci.image.manifest.v1+json",
        image_bytes: 42,
        artifact_type: subject.map(|_| "text/signature"),
        subject,
        annotations: "{}",
        platforms: "[]",
        built_at: None,
        is_untagged: subject.is_none(),
        now: NOW,
    };
    let Some(id) = versions::insert(tx, &new)? else { return Ok(None) };
    let owner = versions::ReferenceOwner {
        version: &id,
        repository: &test_image.repository,
        package: &test_image.package,
    };
    versions::insert_references(tx, owner, 0, references)?;
    Ok(Some(id))
}
