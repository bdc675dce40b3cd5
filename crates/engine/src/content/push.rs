//! Writing manifests: parse one, check the content that it names, and commit contents, version, references and tags
//! at once.

mod complete;
mod config;
mod list_columns;
mod references;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use meta::events::{self, EventAction};
use meta::tags::{self, TargetVersion};
use meta::versions::{self, NewVersion, ReferenceOwner};
use meta::{ErrorKind, Id, MetaError, Tx, attachments, blobs, packages};
use model::attachment::AttachmentId;
use model::digest::Digest;
use model::image_config::{ImageConfig, PlatformSummary};
use model::manifest::{Descriptor, Manifest, RequiredContent};
use model::precondition::Precondition;
use model::reference::{Reference, Tag};

use list_columns::ListColumns;
use references::{FoundContent, ImageRows, MissingContent, children_of};

use crate::access::{ImageContext, ImageTarget, Push, RepoAccess};
use crate::content::preconditions::ExpectedVersion;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::tags::image_change::{ImageChange, StoredVersion};
use crate::tags::tag_write::{TagMove, point_tag};

/// A manifest as a client sent it.
#[derive(Debug)]
pub struct ReceivedManifest {
    /// The bytes.
    pub bytes: Bytes,
    /// The Content-Type of the request.
    pub content_type: Option<String>,
    /// The tag or digest that the request names.
    pub reference: Reference,
    /// More tags that are to name the manifest.
    pub tags: Vec<Tag>,
}

/// A manifest that passed every check for which the request alone is enough.
#[derive(Debug)]
pub struct NewManifest {
    manifest: Manifest,
    /// The annotations, as the JSON of their column.
    annotations: String,
    digest: Digest,
    /// The bytes, which are stored unchanged.
    bytes: Bytes,
    /// The tags that are to name the manifest.
    tags: Vec<Tag>,
    /// The precondition on the version that the reference names.
    expected: ExpectedVersion,
}

impl NewManifest {
    /// Parses a manifest. A long one takes a while: see [`Engine::read_manifest`].
    pub fn parse(received: ReceivedManifest) -> Result<Self, EngineError> {
        let ReceivedManifest { bytes, content_type, reference, mut tags } = received;
        let mut manifest = Manifest::parse(&bytes, content_type.as_deref())?;
        let expected =
            ExpectedVersion { reference: reference.clone(), precondition: Precondition::default() };
        let digest = match reference {
            Reference::Digest(expected) => {
                let actual = Digest::of_with(expected.algorithm(), &bytes);
                if actual != expected {
                    return Err(EngineError::DigestMismatch { expected, actual });
                }
                actual
            }
            Reference::Tag(tag) => {
                tags.push(tag);
                Digest::of(&bytes)
            }
        };
        let annotations = serde_json::to_string(&std::mem::take(&mut manifest.annotations))
            .expect("a map of strings is always JSON");
        Ok(Self { manifest, annotations, digest, bytes, tags, expected })
    }

    /// Adds a precondition, which is evaluated when the manifest is written.
    pub fn with_precondition(mut self, precondition: Precondition) -> Self {
        self.expected.precondition = precondition;
        self
    }
}

impl NewManifest {
    /// Returns the descriptor of the config.
    pub(crate) fn config(&self) -> Option<&Descriptor> {
        self.manifest.config.as_ref()
    }
}

impl Engine {
    /// Parses a manifest without delaying other requests.
    pub async fn read_manifest(
        &self,
        received: ReceivedManifest,
    ) -> Result<NewManifest, EngineError> {
        let length = received.bytes.len();
        self.parsing.run(length, move || NewManifest::parse(received)).await?
    }

    /// Refuses a manifest that a new repository could not take, before the push creates the repository: a new
    /// repository holds none of the content that the manifest names.
    pub async fn check_first_manifest(&self, new: &NewManifest) -> Result<(), EngineError> {
        self.check_announced(new.bytes.len() as u64).await?;
        if self.settings.new_repositories_sparse {
            return Ok(());
        }
        let needed =
            new.manifest.named_content().filter(|named| named.need != RequiredContent::Nothing);
        let needed: BTreeSet<_> = needed.map(|named| named.descriptor.digest.clone()).collect();
        if needed.is_empty() {
            return Ok(());
        }
        Err(EngineError::ReferencesUnknown(needed.into_iter().collect()))
    }
}

/// The result of a manifest PUT.
#[derive(Debug)]
pub struct PushedManifest {
    /// The digest of the manifest.
    pub digest: Digest,
    /// The digest of the manifest or blob that the manifest refers to.
    pub subject: Option<Digest>,
}

/// The name and the namespace of a manifest that the API attaches to another one.
#[derive(Debug)]
pub(crate) struct AttachmentLabel {
    pub(crate) id: AttachmentId,
    pub(crate) namespace: String,
}

impl RepoAccess<Push> {
    /// Stores a manifest and points tags at it. The manifest is accepted with everything that it names, or not at
    /// all.
    pub async fn put_manifest(&self, new: NewManifest) -> Result<PushedManifest, EngineError> {
        self.put(new, None).await
    }

    /// Does the same as [`Self::put_manifest`]. A manifest with a label must be new, and its subject must be in the
    /// image.
    pub(crate) async fn put(
        &self,
        new: NewManifest,
        label: Option<AttachmentLabel>,
    ) -> Result<PushedManifest, EngineError> {
        let NewManifest { manifest, annotations, digest, bytes, tags, expected } = new;
        self.engine.check_room(bytes.len() as u64).await?;
        let mut config = self.read_config_of_new(&manifest, &digest).await?;
        let subject = manifest.subject.as_ref().map(|subject| subject.digest.clone());
        let write = Arc::new(ManifestWrite {
            image: self.image.clone(),
            sizes: manifest.required_blob_sizes(),
            manifest,
            annotations,
            digest: digest.clone(),
            bytes,
            tags,
            expected,
            may_move_tags: self.may_move_tags().await?,
            label,
            now: self.engine.clock.now(),
        });
        self.confirm_permission().await?;
        loop {
            let (running, read) = (write.clone(), config.clone());
            match self.engine.write(move |tx| running.run(tx, read.as_ref())).await {
                Ok(()) => return Ok(PushedManifest { digest, subject }),
                // The version was deleted meanwhile, and is stored anew.
                Err(EngineError::ManifestUnknown(_)) if config.is_none() => {
                    config = self.read_config_of_new(&write.manifest, &digest).await?;
                }
                Err(EngineError::Database(error)) if error.kind() == ErrorKind::ForeignKey => {
                    return Err(self.find_missing_content(write.sizes.clone()).await?);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Finds the content that is missing or has another size, after a foreign key has refused the manifest.
    async fn find_missing_content(
        &self,
        sizes: BTreeMap<Digest, u64>,
    ) -> Result<EngineError, EngineError> {
        let image = self.image.clone();
        self.engine
            .read(move |tx| {
                let mut missing = Vec::new();
                for (digest, stated) in &sizes {
                    match blobs::find_size(tx, &image.repository().id, digest)? {
                        None => missing.push(digest.clone()),
                        Some(actual) if actual as u64 != *stated => {
                            return Ok(EngineError::SizeMismatch {
                                digest: digest.clone(),
                                stated: *stated,
                                actual: actual as u64,
                            });
                        }
                        Some(_) => {}
                    }
                }
                if missing.is_empty() {
                    let why = "content that the manifest names was pushed or deleted meanwhile";
                    return Ok(EngineError::Unavailable(why.to_owned()));
                }
                Ok(EngineError::ReferencesUnknown(missing))
            })
            .await
    }
}

/// The transaction of one manifest PUT.
struct ManifestWrite {
    image: Arc<ImageContext>,
    manifest: Manifest,
    annotations: String,
    /// The blobs that the manifest names, with the sizes that it states.
    sizes: BTreeMap<Digest, u64>,
    digest: Digest,
    bytes: Bytes,
    tags: Vec<Tag>,
    /// False if the caller may only create tags.
    may_move_tags: bool,
    expected: ExpectedVersion,
    label: Option<AttachmentLabel>,
    now: i64,
}

impl ManifestWrite {
    /// Runs the transaction. `config` is that of a new version.
    ///
    /// # Errors
    /// Fails with [`EngineError::ManifestUnknown`] without a config, if the image does not have the version.
    fn run(&self, tx: &mut Tx<'_>, config: Option<&ImageConfig>) -> Result<(), EngineError> {
        let image = &self.image;
        let repository = &image.repository().id;
        image.check_live(tx)?;
        let ImageTarget { path, location, .. } = &image.target;
        let ensured = packages::ensure(tx, repository, path, location, self.now)?;
        let package = ensured.id;
        let mut change = ImageChange::new(repository, &package);
        if ensured.is_new {
            change.image_created();
        }
        self.expected.check_write(tx, &package)?;
        if self.label.is_some() {
            self.check_attachable(tx, &package)?;
        }
        let rows = ImageRows { repository, package: &package };
        let stored = match config {
            Some(config) => self.store_version(tx, rows, config, &mut change)?,
            None => None,
        };
        let target = match &stored {
            Some(version) => TargetVersion {
                version_id: *version,
                digest: self.digest.clone(),
                untagged: Some(self.stored_version().is_untagged),
            },
            // The image has it already, or another request was faster.
            None if self.label.is_some() => return Err(self.already_exists(&self.id_by_content())),
            None => tags::find_target(tx, &package, &self.digest)?.ok_or_else(|| {
                EngineError::ManifestUnknown(Reference::Digest(self.digest.clone()))
            })?,
        };
        let mut moved_tags = Vec::new();
        for tag in &self.tags {
            let (may_move, now) = (self.may_move_tags, self.now);
            let to = TagMove { package: &package, tag, target: &target, may_move, now };
            if point_tag(tx, image, to, &mut change)? {
                moved_tags.push(Some(tag.as_str()));
            }
        }
        change.record(tx)?;
        if stored.is_some() && moved_tags.is_empty() {
            moved_tags.push(None);
        }
        Ok(image.enqueue_insert(tx, &self.digest, &moved_tags, self.now)?)
    }

    /// Stores the version with everything that it names. Returns its id, or `None` if the image has it already.
    fn store_version(
        &self,
        tx: &mut Tx<'_>,
        rows: ImageRows<'_>,
        config: &ImageConfig,
        change: &mut ImageChange,
    ) -> Result<Option<Id>, EngineError> {
        let ImageRows { repository, package } = rows;
        let named: Vec<_> = self.manifest.named_content().collect();
        let missing = MissingContent::in_repository(self.image.repository().allows_missing_content);
        let content = FoundContent::look_up(tx, rows, &named, missing)?;
        let Some(version) = self.insert_version(tx, rows, &content, config)? else {
            return Ok(None);
        };
        content.check(&named)?;
        let references: Vec<_> = named.iter().flat_map(|named| content.references(named)).collect();
        let owner = ReferenceOwner { version: &version, repository, package };
        versions::insert_references(tx, owner, 0, &references)?;
        change.version_stored(self.stored_version());
        if versions::bind_manifest(tx, owner, &self.digest)? > 0 {
            change.decide_again(version);
        }
        children_of(&references).for_each(|child| change.decide_again(child));
        self.record_push(tx)?;
        if let Some(AttachmentLabel { id, namespace }) = &self.label
            && !attachments::insert(tx, repository, &version, id, namespace)?
        {
            return Err(self.already_exists(id));
        }
        Ok(Some(version))
    }

    /// Returns what the counters need to know of the version, once it is stored.
    fn stored_version(&self) -> StoredVersion {
        StoredVersion {
            manifest_bytes: self.bytes.len() as i64,
            is_untagged: self.manifest.subject.is_none() && self.tags.is_empty(),
            now: self.now,
        }
    }

    /// Checks that an attachment is new in the repository, and that its subject is in the image. By its digest, an
    /// attachment is found in the whole repository.
    fn check_attachable(&self, tx: &mut Tx<'_>, package: &Id) -> Result<(), EngineError> {
        let repository = &self.image.repository().id;
        if let Some(existing) = attachments::find(tx, repository, &self.id_by_content())? {
            return Err(self.already_exists(&existing.id));
        }
        let subject = self.manifest.subject.as_ref();
        let subject =
            subject.ok_or_else(|| EngineError::Internal("an attachment has no subject".into()))?;
        match versions::find_in_package(tx, package, &subject.digest)? {
            Some(_) => Ok(()),
            None => {
                let unknown = format!("attachment.target \"{}\"", subject.digest);
                Err(EngineError::ResourceUnknown(unknown))
            }
        }
    }

    /// Returns the id of any attachment with the same content, whatever its label is.
    fn id_by_content(&self) -> AttachmentId {
        AttachmentId::Digest(self.digest.clone())
    }

    fn already_exists(&self, id: &AttachmentId) -> EngineError {
        let name = &self.image.repository_name;
        EngineError::AlreadyExists(format!(
            "{name}/attachments/{id} already exists, by that name or with this content"
        ))
    }

    fn insert_version(
        &self,
        tx: &mut Tx<'_>,
        rows: ImageRows<'_>,
        content: &FoundContent,
        config: &ImageConfig,
    ) -> Result<Option<Id>, MetaError> {
        let columns = ListColumns::new(&self.manifest, content, self.bytes.len() as u64);
        let own_platform = PlatformSummary::list_to_json(config.platform.clone().map(|platform| {
            PlatformSummary { digest: None, media_type: None, platform: Some(platform) }
        }));
        versions::insert(
            tx,
            &NewVersion {
                repository_id: rows.repository,
                package_id: rows.package,
                digest: &self.digest,
                bytes: &self.bytes,
                media_type: &self.manifest.media_type,
                image_bytes: columns.image_bytes,
                artifact_type: self.manifest.artifact_type.as_deref(),
                subject: self.manifest.subject.as_ref().map(|subject| &subject.digest),
                annotations: &self.annotations,
                platforms: columns.platforms.as_deref().unwrap_or(&own_platform),
                built_at: config.created,
                is_untagged: self.stored_version().is_untagged,
                now: self.now,
            },
        )
    }

    fn record_push(&self, tx: &mut Tx<'_>) -> Result<(), MetaError> {
        let digest = Some(self.digest.clone());
        events::insert(
            tx,
            &events::AuditEvent { digest, ..self.image.event(EventAction::Push, self.now) },
        )
    }
}
