//! `/v2/NAME/referrers/DIGEST`: what refers to a manifest.

use axum::response::IntoResponse;
use engine::{EngineError, Pull, ReferrersPage};
use form_urlencoded::byte_serialize;
use http::header::{CONTENT_TYPE, LINK};
use http::{HeaderValue, Method};
use model::digest::Digest;
use model::media_type::OCI_INDEX;
use serde_json::{Value, json};

use super::{Answer, Context, allow};

pub(super) async fn list(context: Context, image: &str, digest: &str) -> Answer {
    allow(&context, &[Method::GET, Method::HEAD])?;
    let target = context.target(image)?;
    let subject: Digest = digest.parse()?;
    let artifact_type = context.query.get("artifactType").filter(|text| !text.is_empty());
    let last: Option<Digest> = context.query.get("last").map(str::parse).transpose()?;
    let page = match context.app.engine.open::<Pull>(&context.caller, &target).await {
        Ok(access) => access.referrers(&subject, artifact_type, last.as_ref()).await?,
        // Nothing refers to anything there yet; a registry with referrers says so without an error.
        Err(EngineError::RepositoryUnknown(_)) => ReferrersPage::default(),
        Err(error) => return Err(error.into()),
    };
    let manifests: Vec<Value> = page.referrers.iter().map(descriptor).collect();
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests });
    let mut response = ([(CONTENT_TYPE, OCI_INDEX)], index.to_string()).into_response();
    if artifact_type.is_some() {
        let applied = HeaderValue::from_static("artifactType");
        response.headers_mut().insert("oci-filters-applied", applied);
    }
    if let Some(next) = &page.next {
        let mut link = format!("</v2/{image}/referrers/{subject}?last={next}");
        if let Some(wanted) = artifact_type {
            link.push_str("&artifactType=");
            link.extend(byte_serialize(wanted.as_bytes()));
        }
        link.push_str(">; rel=\"next\"");
        let link = HeaderValue::from_str(&link).expect("names, digests and encoded text are plain");
        response.headers_mut().insert(LINK, link);
    }
    Ok(response)
}

fn descriptor(referrer: &engine::Referrer) -> Value {
    let mut descriptor = json!({
        "mediaType": referrer.media_type,
        "digest": referrer.digest.as_str(),
        "size": referrer.size,
    });
    if let Some(artifact_type) = &referrer.artifact_type {
        descriptor["artifactType"] = json!(artifact_type);
    }
    let annotations: Value = serde_json::from_str(&referrer.annotations).unwrap_or_default();
    if annotations.as_object().is_some_and(|annotations| !annotations.is_empty()) {
        descriptor["annotations"] = annotations;
    }
    descriptor
}
