//! `/v2/NAME/referrers/DIGEST`: the referrers of a manifest.

use axum::response::IntoResponse;
use engine::{EngineError, Pull, ReferrersPage};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use model::digest::Digest;
use model::media_type::OCI_INDEX;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::context::{OciAnswer, OciRequest};
use crate::next_link::add_next_link;

pub(super) async fn list(context: OciRequest, image: &str, digest: &str) -> OciAnswer {
    let target = context.target(image)?;
    let subject: Digest = digest.parse()?;
    let artifact_type = context.query.get("artifactType").filter(|text| !text.is_empty());
    let last: Option<Digest> = context.query.get("last").map(str::parse).transpose()?;
    context.trail.note_image(&target);
    context.trail.note_digest(&subject);
    let page = match context.open::<Pull>(&target).await {
        Ok(access) => access.list_referrers(&subject, artifact_type, last.as_ref()).await?,
        // A repository that does not exist has no referrers. The specification has an empty list for that, and no
        // error.
        Err(EngineError::RepositoryUnknown(_) | EngineError::ProjectUnknown(_)) => {
            ReferrersPage::default()
        }
        Err(error) => return Err(error.into()),
    };
    let manifests = page.referrers.iter().map(ReferrerLine::new).collect();
    let index = ReferrersIndex { schema_version: 2, media_type: OCI_INDEX, manifests };
    let mut response = ([(CONTENT_TYPE, OCI_INDEX)], axum::Json(index)).into_response();
    if artifact_type.is_some() {
        let applied = HeaderValue::from_static("artifactType");
        response.headers_mut().insert("oci-filters-applied", applied);
    }
    if let Some(next) = &page.next {
        let path = format!("/v2/{image}/referrers/{subject}");
        let (next, wanted) =
            (next.to_string(), artifact_type.map(|wanted| ("artifactType", wanted)));
        let query: Vec<_> = [("last", next.as_str())].into_iter().chain(wanted).collect();
        add_next_link(&context, &mut response, &path, &query);
    }
    Ok(response)
}

/// The answer: an index of the referrers of the subject.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReferrersIndex<'a> {
    schema_version: u8,
    media_type: &'a str,
    manifests: Vec<ReferrerLine<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReferrerLine<'a> {
    media_type: &'a str,
    digest: &'a str,
    size: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'a str>,
    /// The annotations, unparsed as they are in the row, because they may be as long as a manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<&'a RawValue>,
}

impl<'a> ReferrerLine<'a> {
    fn new(referrer: &'a engine::Referrer) -> Self {
        let annotations = Some(referrer.annotations.as_str()).filter(|json| *json != "{}");
        Self {
            media_type: &referrer.media_type,
            digest: referrer.digest.as_str(),
            size: referrer.size,
            artifact_type: referrer.artifact_type.as_deref(),
            annotations: annotations.and_then(|json| serde_json::from_str(json).ok()),
        }
    }
}
