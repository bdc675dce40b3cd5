//! The deletion of versions: the page that says what would go, what stays and why; and the deletion.

use std::collections::BTreeSet;

use askama::Template;
use axum::body::Body;
use axum::response::Response;
use engine::{DeletionPlan, DeletionReason, DeletionSelection, KeepReason};
use http::header::SET_COOKIE;
use model::artifact_name::{PackageName, VersionName};
use model::digest::Digest;
use model::permissions::artifactregistry;
use model::resource::Resource;

use crate::commands;
use crate::error::ConsoleError;
use crate::form;
use crate::frame::Frame;
use crate::html::{Bytes, Untrusted, short_digest};
use crate::links::Link;
use crate::page::{self, redirect};
use crate::pages::artifact_kind::kind_text;
use crate::query::Fields;
use crate::request::ConsoleRequest;
use crate::session::{Done, Message};

#[derive(Template)]
#[template(path = "delete.html")]
struct DeletePage {
    frame: Frame,
    heading: String,
    button: String,
    goes: Vec<GoingVersion>,
    stays: Vec<StayingVersion>,
    freed: Bytes,
    is_freed_complete: bool,
    selected: Vec<String>,
    fingerprint: String,
    action: Link,
    back: Link,
}

struct GoingVersion {
    digest: String,
    short: String,
    link: Link,
    kind: Untrusted,
    tags: Vec<String>,
    reason: String,
}

struct StayingVersion {
    short: String,
    link: Link,
    reason: String,
}

/// Answers a selection with the page that says what its deletion would do. The selection is in a form, because an address
/// has no room for the digests of many versions.
pub(crate) async fn plan(
    request: &ConsoleRequest,
    name: PackageName,
    body: Body,
) -> Result<Response, ConsoleError> {
    let fields = form::read(request, body).await?;
    let resource = Resource::Repository(name.repository.clone());
    request.authorize(artifactregistry::VERSIONS_GET, resource.clone()).await?;
    let authorized = request.authorize_change(artifactregistry::VERSIONS_DELETE, resource).await?;
    let digests = digests_of(&fields)?;
    let selection = DeletionSelection { package: name.clone(), digests: digests.clone() };
    let plan = request.engine().plan_deletion(&authorized, selection).await?;
    let t = request.texts;
    let heading = t.delete_heading(plan.goes.len());
    let selected = digests.iter().map(Digest::to_string).collect();
    let shown = DeletePage {
        frame: request
            .frame(format!("{} · {}", t.delete(), name.image))
            .with_crumbs(request.crumbs_to_image(&name).await?)
            .with_commands(commands::delete_versions(&request.image_address(&name), &plan)),
        heading,
        button: t.delete_button(plan.goes.len()),
        goes: going(request, &name, &plan),
        stays: staying(request, &name, &plan),
        freed: Bytes(plan.freed_bytes),
        is_freed_complete: plan.is_freed_complete,
        selected,
        fingerprint: plan.fingerprint,
        action: request.links.image(&name).page("delete"),
        back: request.links.image(&name),
    };
    Ok(page::show(request, &shown))
}

pub(crate) async fn delete(
    request: &ConsoleRequest,
    name: PackageName,
    body: Body,
) -> Result<Response, ConsoleError> {
    let fields = form::read(request, body).await?;
    let resource = Resource::Repository(name.repository.clone());
    request.authorize(artifactregistry::VERSIONS_GET, resource.clone()).await?;
    let authorized = request.authorize_change(artifactregistry::VERSIONS_DELETE, resource).await?;
    let selection = DeletionSelection { package: name.clone(), digests: digests_of(&fields)? };
    let fingerprint = fields.get("plan").unwrap_or_default();
    let deleted = request.engine().carry_out_deletion(&authorized, selection, fingerprint).await?;
    let mut response = redirect(request, &request.links.image(&name).to_string());
    let message = Message { done: Done::VersionsDeleted, about: deleted.to_string() };
    response.headers_mut().append(SET_COOKIE, message.header());
    Ok(response)
}

fn digests_of(fields: &Fields) -> Result<Vec<Digest>, ConsoleError> {
    let parse = |text: &str| {
        text.parse().map_err(|_| ConsoleError::Invalid(format!("{text:?} is no digest")))
    };
    // Two tags of a list may name one version.
    let digests: Result<BTreeSet<Digest>, _> = fields.all("digest").map(parse).collect();
    Ok(digests?.into_iter().collect())
}

fn going(request: &ConsoleRequest, name: &PackageName, plan: &DeletionPlan) -> Vec<GoingVersion> {
    let t = request.texts;
    let entry = |planned: &engine::PlannedDeletion| {
        let version = &planned.version;
        GoingVersion {
            short: short_digest(version.digest.as_str()).to_owned(),
            link: version_link(request, name, &version.digest),
            digest: version.digest.to_string(),
            kind: Untrusted::short(kind_text(
                t,
                version.artifact_type.as_deref(),
                &version.media_type,
            )),
            tags: version.tags.clone(),
            reason: match &planned.reason {
                DeletionReason::Selected => t.selected().to_owned(),
                DeletionReason::PlatformOf(index) => {
                    format!("{} {}", t.part_of(), short_digest(index.as_str()))
                }
                DeletionReason::AttachedTo(subject) => {
                    format!("{} {}", t.attached_to(), short_digest(subject.as_str()))
                }
            },
        }
    };
    plan.goes.iter().map(entry).collect()
}

fn staying(
    request: &ConsoleRequest,
    name: &PackageName,
    plan: &DeletionPlan,
) -> Vec<StayingVersion> {
    let t = request.texts;
    let entry = |kept: &engine::KeptVersion| StayingVersion {
        short: short_digest(kept.digest.as_str()).to_owned(),
        link: version_link(request, name, &kept.digest),
        reason: match &kept.reason {
            KeepReason::NamedBy(index) => {
                format!("{} {}", t.part_of(), short_digest(index.as_str()))
            }
            KeepReason::AttachedTo(subject) => {
                format!("{} {}", t.attached_to(), short_digest(subject.as_str()))
            }
            KeepReason::Tagged(tag) => t.has_tag(tag),
            KeepReason::ImmutableTag(tag) => t.has_immutable_tag(tag),
            KeepReason::Gone => t.already_gone().to_owned(),
        },
    };
    plan.stays.iter().map(entry).collect()
}

fn version_link(request: &ConsoleRequest, name: &PackageName, digest: &Digest) -> Link {
    request.links.version(&VersionName { package: name.clone(), digest: digest.clone() })
}
