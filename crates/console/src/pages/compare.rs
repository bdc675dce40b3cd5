//! The comparison of two versions of an image: layers that they share, and what their configs differ in.

use std::collections::BTreeSet;

use askama::Template;
use axum::response::Response;
use engine::VersionContent;
use model::artifact_name::{PackageName, VersionName};
use model::digest::Digest;
use model::manifest::Descriptor;
use model::permissions::artifactregistry;
use model::resource::Resource;

use crate::commands;
use crate::error::ConsoleError;
use crate::frame::Frame;
use crate::html::{Bytes, Untrusted, short_digest, size_text};
use crate::links::Link;
use crate::page;
use crate::pages::version::configuration::ImageConfiguration;
use crate::request::ConsoleRequest;
use crate::texts::Texts;

#[derive(Template)]
#[template(path = "compare.html")]
struct ComparePage {
    frame: Frame,
    a: ComparedVersion,
    b: ComparedVersion,
    summary: String,
    only_a: Vec<LayerRow>,
    shared: Vec<LayerRow>,
    only_b: Vec<LayerRow>,
    settings: Vec<ChangedSetting>,
    swap: Link,
}

struct ComparedVersion {
    short: String,
    digest: String,
    link: Link,
}

struct LayerRow {
    digest: String,
    size: Bytes,
}

/// A setting or a variable that the two versions differ in.
struct ChangedSetting {
    name: Untrusted,
    a: Option<Untrusted>,
    b: Option<Untrusted>,
}

pub(crate) async fn show(
    request: &ConsoleRequest,
    name: PackageName,
) -> Result<Response, ConsoleError> {
    let resource = Resource::Repository(name.repository.clone());
    let permission = artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS;
    let authorized = request.authorize(permission, resource).await?;
    let (a, b) = digests_of(request)?;
    let version = |digest: &Digest| VersionName { package: name.clone(), digest: digest.clone() };
    let (version_a, version_b) = (version(&a), version(&b));
    let content_a = request.engine().read_version(&authorized, &version_a).await?;
    let content_b = request.engine().read_version(&authorized, &version_b).await?;
    let (length, texts) = (content_a.document_bytes() + content_b.document_bytes(), request.texts);
    let comparing = move || Comparison::of(&content_a, &content_b, texts);
    let comparison = request.engine().parsing().run(length, comparing).await?;
    let Comparison { only_a, shared, only_b, all_of_b, difference, settings } = comparison;
    let compared = |version: &VersionName| ComparedVersion {
        short: short_digest(version.digest.as_str()).to_owned(),
        digest: version.digest.to_string(),
        link: request.links.version(version),
    };
    let summary = request.texts.compare_summary(
        shared.len(),
        all_of_b,
        &size_text(difference.abs()),
        difference,
    );
    let shown = ComparePage {
        frame: request
            .image_frame(&name, format!("{} · {}", request.texts.compare(), name.image))
            .await?
            .with_commands(vec![commands::compare(request, &name, [&a, &b])]),
        a: compared(&version_a),
        b: compared(&version_b),
        summary,
        only_a,
        only_b,
        shared,
        settings,
        swap: request
            .links
            .image(&name)
            .page("compare")
            .with("a", b.as_str())
            .with("b", a.as_str()),
    };
    page::show_long(request, length, shown).await
}

/// The layers and settings that two versions share, and those that they differ in.
struct Comparison {
    only_a: Vec<LayerRow>,
    shared: Vec<LayerRow>,
    only_b: Vec<LayerRow>,
    /// The number of layers of B.
    all_of_b: usize,
    /// The bytes by which B is larger.
    difference: i64,
    settings: Vec<ChangedSetting>,
}

impl Comparison {
    /// Compares two versions. This takes long for long manifests and configs.
    fn of(a: &VersionContent, b: &VersionContent, texts: Texts) -> Self {
        let (layers_a, layers_b) = (layers_of(a), layers_of(b));
        let in_a: BTreeSet<&Digest> = layers_a.iter().map(|layer| &layer.digest).collect();
        let in_b: BTreeSet<&Digest> = layers_b.iter().map(|layer| &layer.digest).collect();
        let rows = |layers: &[Descriptor], wanted: &dyn Fn(&Digest) -> bool| {
            let found = layers.iter().filter(|layer| wanted(&layer.digest));
            found.map(layer_row).collect::<Vec<_>>()
        };
        let sum = |layers: &[Descriptor]| layers.iter().map(|layer| layer.size as i64).sum::<i64>();
        Self {
            only_a: rows(&layers_a, &|digest| !in_b.contains(digest)),
            shared: rows(&layers_b, &|digest| in_a.contains(digest)),
            only_b: rows(&layers_b, &|digest| !in_a.contains(digest)),
            all_of_b: layers_b.len(),
            difference: sum(&layers_b) - sum(&layers_a),
            settings: changed_settings(a, b, texts),
        }
    }
}

/// Returns the two digests of the address: `a` and `b`, or two that were selected in a list.
fn digests_of(request: &ConsoleRequest) -> Result<(Digest, Digest), ConsoleError> {
    let named: Vec<&str> = ["a", "b"].iter().filter_map(|name| request.query.get(name)).collect();
    let wanted = if named.is_empty() { request.query.all("digest").collect() } else { named };
    let parse = |text: &str| {
        text.parse().map_err(|_| ConsoleError::Invalid(format!("{text:?} is no digest")))
    };
    match wanted.as_slice() {
        [a, b] => Ok((parse(a)?, parse(b)?)),
        _ => Err(ConsoleError::Invalid(request.texts.select_two().to_owned())),
    }
}

fn layers_of(content: &VersionContent) -> Vec<Descriptor> {
    content.parsed.as_ref().map_or(Vec::new(), |manifest| {
        manifest.layers.iter().chain(&manifest.manifests).cloned().collect()
    })
}

fn layer_row(layer: &Descriptor) -> LayerRow {
    LayerRow { digest: layer.digest.to_string(), size: Bytes(layer.size as i64) }
}

/// Returns the settings, variables and labels that differ.
fn changed_settings(a: &VersionContent, b: &VersionContent, texts: Texts) -> Vec<ChangedSetting> {
    let config = |content: &VersionContent| {
        ImageConfiguration::parse(content.config.as_deref().unwrap_or_default()).named_values(texts)
    };
    let (a, b) = (config(a), config(b));
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let changed = names.into_iter().filter(|name| a.get(*name) != b.get(*name));
    let shown = |value: Option<&String>| value.map(|value| Untrusted::long(value.clone()));
    changed
        .map(|name| ChangedSetting {
            name: Untrusted::short(name.clone()),
            a: shown(a.get(name)),
            b: shown(b.get(name)),
        })
        .collect()
}
