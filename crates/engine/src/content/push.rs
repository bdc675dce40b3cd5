//! Writing manifests: parse, check what they name, and commit contents, version, references and tags at once.

mod complete;
mod references;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use meta::events::{self, EventAction};
use meta::versions::{self, NewVersion, ReferenceOwner};
use meta::{ErrorKind, Id, MetaError, Tx, attachments, blobs, packages, usage};
use model::attachment::AttachmentId;
use model::digest::Digest;
use model::image_config::{ImageConfig, PlatformSummary};
use model::manifest::{Descriptor, Manifest, NamedContent, RequiredContent};
use model::media_type::ManifestKind;
use model::precondition::Precondition;
use model::reference::{Reference, Tag};

use references::{FoundContent, ImageRows, MissingContent};

use crate::access::{ImageContext, Push, RepoAccess};
use crate::content::preconditions::ExpectedVersion;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::tags::tag_write::point_tag;

/// A config larger than this is not read for what lists show.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// A manifest as a client sent it.
#[derive(Debug)]
pub struct ReceivedManifest {
    /// Its bytes.
    pub bytes: Bytes,
    /// The request's Content-Type.
    pub content_type: Option<String>,
    /// The tag or digest that it was put under.
    pub reference: Reference,
    /// More tags that are to name it.
    pub tags: Vec<Tag>,
}

/// A manifest that passed every check that needs nothing but what the client sent.
#[derive(Debug)]
pub struct NewManifest {
    manifest: Manifest,
    /// Its annotations, as rows keep them.
    annotations: String,
    digest: Digest,
    /// The bytes, which are stored as they are.
    bytes: Bytes,
    /// The tags that should name it.
    tags: Vec<Tag>,
    /// What has to be there before.
    expected: ExpectedVersion,
}

impl NewManifest {
    /// Reads what a client sent. A long manifest takes a while: see [`Engine::read_manifest`].
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

    /// To be written only where the condition holds of what is there then.
    pub fn when(mut self, precondition: Precondition) -> Self {
        self.expected.precondition = precondition;
        self
    }
}

impl Engine {
    /// Reads what a client sent, without keeping others waiting.
    pub async fn read_manifest(
        &self,
        received: ReceivedManifest,
    ) -> Result<NewManifest, EngineError> {
        let length = received.bytes.len();
        self.parsing.run(length, move || NewManifest::parse(received)).await?
    }

    /// Refuses what a repository cannot take that this manifest would make: there is nothing in it that the manifest
    /// could name.
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

/// What a manifest PUT did.
#[derive(Debug)]
pub struct PushedManifest {
    /// The manifest's digest.
    pub digest: Digest,
    /// What it refers to.
    pub subject: Option<Digest>,
}

/// What a manifest is called that the API attaches to another one.
#[derive(Debug)]
pub(crate) struct AttachmentLabel {
    pub(crate) id: AttachmentId,
    pub(crate) namespace: String,
}

impl RepoAccess<Push> {
    /// Stores a manifest and points tags at it. It is accepted whole, with everything that it names, or not.
    pub async fn put_manifest(&self, new: NewManifest) -> Result<PushedManifest, EngineError> {
        self.put(new, None).await
    }

    /// As [`Self::put_manifest`]. What is named must be new, and refer to what is here.
    pub(crate) async fn put(
        &self,
        new: NewManifest,
        named: Option<AttachmentLabel>,
    ) -> Result<PushedManifest, EngineError> {
        let NewManifest { manifest, annotations, digest, bytes, tags, expected } = new;
        self.engine.check_room(bytes.len() as u64).await?;
        let shown = self.shown(&manifest).await;
        let subject = manifest.subject.as_ref().map(|subject| subject.digest.clone());
        let write = ManifestWrite {
            access: self.image.clone(),
            sizes: manifest.required_blob_sizes(),
            manifest,
            annotations,
            digest: digest.clone(),
            bytes,
            tags,
            expected,
            named,
            shown,
            now: self.engine.clock.now(),
        };
        let sizes = write.sizes.clone();
        self.confirm().await?;
        match self.engine.meta.write(move |tx| write.run(tx)).await {
            Ok(()) => Ok(PushedManifest { digest, subject }),
            Err(EngineError::Database(error)) if error.kind() == ErrorKind::ForeignKey => {
                Err(self.name_missing(sizes).await?)
            }
            Err(error) => Err(error),
        }
    }

    /// What lists show of the image, read from its config. Nothing here can refuse a push.
    async fn shown(&self, manifest: &Manifest) -> ImageConfig {
        match &manifest.config {
            Some(config) if ImageConfig::is_media_type(&config.media_type) => {
                self.read_config(config).await.unwrap_or_default()
            }
            _ => ImageConfig::default(),
        }
    }

    async fn read_config(&self, config: &Descriptor) -> Option<ImageConfig> {
        let repository = &self.image.repository().id;
        let found = self.engine.open_blob(repository, &config.digest).await.ok()?;
        if found.size() > MAX_CONFIG_BYTES {
            return None;
        }
        let bytes = found.read_all().await.ok()?;
        // What is no object says nothing, and is not worth another thread.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return None;
        }
        let length = bytes.len();
        self.engine.parsing.run(length, move || ImageConfig::parse(&bytes)).await.ok()
    }

    /// Finds out which content a refused manifest names in vain.
    async fn name_missing(&self, sizes: BTreeMap<Digest, u64>) -> Result<EngineError, EngineError> {
        let at = self.image.clone();
        self.engine
            .meta
            .read(move |tx| {
                let mut missing = Vec::new();
                for (digest, stated) in &sizes {
                    match blobs::find_size(tx, &at.repository().id, digest)? {
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
                    let why = "content that the manifest names came or went meanwhile";
                    return Ok(EngineError::Unavailable(why.to_owned()));
                }
                Ok(EngineError::ReferencesUnknown(missing))
            })
            .await
    }
}

/// The transaction of one manifest PUT.
struct ManifestWrite {
    access: std::sync::Arc<ImageContext>,
    manifest: Manifest,
    annotations: String,
    /// The blobs that it names, with the sizes that it states.
    sizes: BTreeMap<Digest, u64>,
    digest: Digest,
    bytes: Bytes,
    tags: Vec<Tag>,
    expected: ExpectedVersion,
    named: Option<AttachmentLabel>,
    shown: ImageConfig,
    now: i64,
}

impl ManifestWrite {
    fn run(&self, tx: &mut Tx<'_>) -> Result<(), EngineError> {
        let at = &self.access;
        let repository = &at.repository().id;
        at.check_live(tx)?;
        let (path, location) = (&at.target.path, &at.target.location);
        let package = packages::ensure(tx, repository, path, location, self.now)?;
        self.expected.check_write(tx, &package)?;
        if self.named.is_some() {
            self.check_attachable(tx, &package)?;
        }
        let named: Vec<_> = self.manifest.named_content().collect();
        let missing = MissingContent::in_repository(at.repository().allows_missing_content);
        let image = ImageRows { repository, package: &package };
        let found = FoundContent::look_up(tx, image, &named, missing)?;
        let inserted = self.insert_version(tx, image, &found)?;
        let version = match inserted {
            Some(version) => {
                found.check(&named)?;
                let references: Vec<_> =
                    named.iter().flat_map(|named| found.references(named)).collect();
                let owner = ReferenceOwner { version: &version, repository, package: &package };
                versions::insert_references(tx, owner, 0, &references)?;
                versions::bind_manifest(tx, owner, &self.digest)?;
                let size = self.bytes.len() as i64;
                usage::add_delta(tx, repository, size)?;
                self.record(tx)?;
                if let Some(AttachmentLabel { id, namespace }) = &self.named
                    && !attachments::insert(tx, repository, &version, id, namespace)?
                {
                    return Err(self.exists(id));
                }
                version
            }
            // Another request was faster.
            None if self.named.is_some() => return Err(self.exists(&self.same())),
            None => versions::find_in_package(tx, &package, &self.digest)?
                .map(|(id, _)| id)
                .ok_or_else(|| EngineError::Internal("version vanished".into()))?,
        };
        let mut told = Vec::new();
        for tag in &self.tags {
            if point_tag(tx, at, (&package, &version), (tag, &self.digest, self.now))? {
                told.push(Some(tag.as_str()));
            }
        }
        if inserted.is_some() && told.is_empty() {
            told.push(None);
        }
        Ok(at.enqueue_insert(tx, (&self.digest, &told, self.now))?)
    }

    /// What the API attaches refers to what is there, and is there once: by its digest it is found in the repository.
    fn check_attachable(&self, tx: &mut Tx<'_>, package: &Id) -> Result<(), EngineError> {
        let repository = &self.access.repository().id;
        if let Some(same) = attachments::find(tx, repository, &self.same())? {
            return Err(self.exists(&same.id));
        }
        let subject = self.manifest.subject.as_ref();
        let subject =
            subject.ok_or_else(|| EngineError::Internal("it refers to nothing".into()))?;
        match versions::find_in_package(tx, package, &subject.digest)? {
            Some(_) => Ok(()),
            None => {
                let unknown = format!("attachment.target \"{}\"", subject.digest);
                Err(EngineError::ResourceUnknown(unknown))
            }
        }
    }

    /// The attachment of this content, whatever it is called.
    fn same(&self) -> AttachmentId {
        AttachmentId::Digest(self.digest.clone())
    }

    fn exists(&self, id: &AttachmentId) -> EngineError {
        let name = &self.access.repository_name;
        EngineError::AlreadyExists(format!(
            "{name}/attachments/{id} exists already, by that name or with this content"
        ))
    }

    fn insert_version(
        &self,
        tx: &mut Tx<'_>,
        image: ImageRows<'_>,
        found: &FoundContent,
    ) -> Result<Option<Id>, MetaError> {
        let shown = ShownVersion::new(&self.manifest, found, self.bytes.len() as u64);
        let own_platform =
            PlatformSummary::list_to_json(self.shown.platform.clone().map(|platform| {
                PlatformSummary { digest: None, media_type: None, platform: Some(platform) }
            }));
        versions::insert(
            tx,
            &NewVersion {
                repository_id: image.repository,
                package_id: image.package,
                digest: &self.digest,
                bytes: &self.bytes,
                media_type: &self.manifest.media_type,
                image_bytes: shown.image_bytes,
                artifact_type: self.manifest.artifact_type.as_deref(),
                subject: self.manifest.subject.as_ref().map(|subject| &subject.digest),
                annotations: &self.annotations,
                platforms: shown.platforms.as_deref().unwrap_or(&own_platform),
                built_at: self.shown.created,
                now: self.now,
            },
        )
    }

    fn record(&self, tx: &mut Tx<'_>) -> Result<(), MetaError> {
        let push = self.access.event(EventAction::Push, self.now);
        events::insert(tx, &events::AuditEvent { digest: Some(self.digest.clone()), ..push })
    }
}

/// What lists show of a manifest.
struct ShownVersion {
    /// How much it takes: the blobs that it names, each once, and its own bytes. An index of nothing but manifests has
    /// no size of its own.
    image_bytes: i64,
    /// What an index names, as rows keep it. An image has none of these, but a platform.
    platforms: Option<String>,
}

impl ShownVersion {
    fn new(manifest: &Manifest, found: &FoundContent, own_bytes: u64) -> Self {
        let is_blob = |named: &NamedContent<'_>| match manifest.kind {
            ManifestKind::Image => true,
            ManifestKind::Index => !found.is_manifest(named),
        };
        let named = || manifest.named_content().filter(|named| !named.is_subject);
        let blobs: BTreeMap<_, _> = named()
            .filter(is_blob)
            .map(|named| (&named.descriptor.digest, named.descriptor.size))
            .collect();
        let own_bytes = match manifest.kind {
            ManifestKind::Index if blobs.is_empty() => 0,
            ManifestKind::Image | ManifestKind::Index => own_bytes,
        };
        let sum = blobs.into_values().fold(own_bytes, u64::saturating_add);
        let platforms = (manifest.kind == ManifestKind::Index).then(|| {
            PlatformSummary::list_to_json(named().filter(|named| !is_blob(named)).map(|named| {
                PlatformSummary {
                    digest: Some(named.descriptor.digest.to_string()),
                    media_type: Some(named.descriptor.media_type.clone()),
                    platform: named.descriptor.platform.clone(),
                }
            }))
        });
        Self { image_bytes: i64::try_from(sum).unwrap_or(i64::MAX), platforms }
    }
}
