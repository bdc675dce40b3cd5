//! `/v2/NAME/manifests/REFERENCE`: read, write and delete.

use axum::body::Body;
use engine::{
    BodyError, Delete, EngineError, ImageTarget, Pull, PulledManifest, Push, ReceivedManifest,
    SHARED_FROM,
};
use http::header::{AGE, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, WARNING};
use http::{HeaderValue, Method, StatusCode};
use model::manifest::{MAX_MANIFEST_BYTES, ManifestError};
use model::precondition::PreconditionOutcome;
use model::reference::{Reference, Tag};

use web::content::{CONTENT_DIGEST, digest_head};
use web::layer::SharedBytes;
use web::layer::body_budget::{BufferedBody, WholeError};

use crate::context::{OciAnswer, OciRequest, empty, finish};
use crate::error::OciError;

/// The most tags that one PUT may set, so that its transaction stays small.
const MAX_TAGS: usize = 100;

pub(super) async fn by_method(
    context: OciRequest,
    body: Body,
    image: &str,
    reference: &str,
) -> OciAnswer {
    let target = context.target(image)?;
    let reference: Reference = reference.parse()?;
    context.trail.note_image(&target);
    match &reference {
        Reference::Tag(tag) => context.trail.note_tag(tag),
        Reference::Digest(digest) => context.trail.note_digest(digest),
    }
    match context.method {
        Method::HEAD => {
            let access = context.open::<Pull>(&target).await?;
            manifest_answer(&context, access.stat_manifest(&reference).await?)
        }
        Method::GET => {
            let access = context.open::<Pull>(&target).await?;
            manifest_answer(&context, access.pull_manifest(&reference).await?)
        }
        // In a box, because the future of `put` is larger than all others.
        Method::PUT => Box::pin(put(context, body, image, &target, reference)).await,
        Method::DELETE => {
            let access = context.open::<Delete>(&target).await?;
            let precondition = context.precondition()?;
            let deleted = access.delete_manifest_if(&reference, precondition).await;
            deleted.map_err(|error| match error {
                EngineError::InUse { digest, by } => OciError::has_parent(&digest, &by),
                error => error.into(),
            })?;
            Ok(finish(empty(StatusCode::ACCEPTED), Body::empty()))
        }
        _ => Err(OciError::no_such_path()),
    }
}

fn manifest_answer(context: &OciRequest, manifest: PulledManifest) -> OciAnswer {
    if let Some(ended) = context.ended_by_condition(&manifest.digest) {
        return ended;
    }
    let mut head = digest_head(StatusCode::OK, &manifest.digest)
        .header(CONTENT_TYPE, manifest.media_type)
        .header(CONTENT_LENGTH, manifest.size);
    if let Some(seconds) = manifest.stale_for {
        head = head.header(AGE, seconds).header(WARNING, "110 - \"the upstream cannot be asked\"");
    }
    if manifest.bytes.len() >= SHARED_FROM {
        head = head.extension(SharedBytes);
    }
    Ok(finish(head, Body::from(manifest.bytes)))
}

async fn put(
    context: OciRequest,
    body: Body,
    image: &str,
    target: &ImageTarget,
    reference: Reference,
) -> OciAnswer {
    // A caller who may not push is refused before the body is read. A repository that does not exist yet is created
    // only after the manifest is found to be good.
    let existing = context.open_existing::<Push>(target).await?;
    let precondition = context.precondition()?;
    if existing.is_none() && precondition.evaluate(None) != PreconditionOutcome::Holds {
        return Err(OciError::condition_failed());
    }
    let tags: Vec<Tag> = context.query.all("tag").map(str::parse).collect::<Result<_, _>>()?;
    tags.iter().take(MAX_TAGS).for_each(|tag| context.trail.note_tag(tag));
    if tags.len() > MAX_TAGS {
        let message = format!("a manifest takes at most {MAX_TAGS} tags at once");
        return Err(OciError::bad_request(
            "TAG_INVALID",
            message,
            "set the others with another PUT",
        ));
    }
    // `whole` lives until the manifest is stored: so long, its memory counts as taken.
    let whole = receive(&context, body).await?;
    let bytes = whole.bytes.clone();
    let written_tags = tags.clone();
    let content_type = context.header(CONTENT_TYPE).map(str::to_owned);
    let received = ReceivedManifest { bytes, content_type, reference, tags };
    let new = context.app.engine.read_manifest(received).await?.with_precondition(precondition);
    let access = match existing {
        Some(access) => access,
        None => {
            context.app.engine.check_first_manifest(&new).await?;
            context.open(target).await?
        }
    };
    let pushed = access.put_manifest(new).await?;
    let mut head = empty(StatusCode::CREATED)
        .header(LOCATION, format!("/v2/{image}/manifests/{}", pushed.digest))
        .header(CONTENT_DIGEST, pushed.digest.as_str());
    if let Some(subject) = &pushed.subject {
        head = head.header("oci-subject", subject.as_str());
    }
    for tag in &written_tags {
        head = head.header("oci-tag", HeaderValue::from_str(tag.as_str()).expect("tags are plain"));
    }
    Ok(finish(head, Body::empty()))
}

/// Reads the whole body, which must not be larger than a manifest may be.
async fn receive(context: &OciRequest, body: Body) -> Result<BufferedBody, OciError> {
    let (manifests, idle) = (&context.app.manifests, context.app.limits.idle_timeout.get());
    manifests.receive(body, MAX_MANIFEST_BYTES, idle).await.map_err(|error| match error {
        WholeError::TooLarge => ManifestError::TooLarge.into(),
        WholeError::Stalled => BodyError::Stalled.into(),
        WholeError::Closed => BodyError::Closed.into(),
        WholeError::GivenUp => {
            let reason =
                "the manifests that are being pushed take all the memory that there is for them";
            EngineError::Unavailable(reason.to_owned()).into()
        }
    })
}
