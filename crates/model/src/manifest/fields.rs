//! The fields of manifests that clients read. Berth itself reads only some of them.
//!
//! The fields are those of the image specification 1.1, of Docker's manifest formats, and of the structures in
//! go-containerregistry, containers/image, containerd, oras and regclient. Annotations are maps, so that their keys are
//! not fields.

use crate::json::{ClientField, FieldTable};

/// The fields of an image or an index. Clients that have to guess the kind of a manifest look at all of these fields,
/// also at those of Docker's schema 1 and of the withdrawn artifact manifest.
pub(super) static MANIFEST: FieldTable = FieldTable(&[
    ClientField::plain("schemaVersion"),
    ClientField::plain("mediaType"),
    ClientField::plain("artifactType"),
    ClientField::with_fields("config", &DESCRIPTOR),
    ClientField::with_fields("layers", &DESCRIPTOR),
    ClientField::with_fields("manifests", &DESCRIPTOR),
    ClientField::with_fields("blobs", &DESCRIPTOR),
    ClientField::with_fields("subject", &DESCRIPTOR),
    ClientField::plain("annotations"),
    ClientField::plain("name"),
    ClientField::plain("tag"),
    ClientField::plain("architecture"),
    ClientField::with_fields("fsLayers", &SCHEMA_1_LAYER),
    ClientField::with_fields("history", &SCHEMA_1_HISTORY),
    ClientField::plain("signatures"),
]);

static DESCRIPTOR: FieldTable = FieldTable(&[
    ClientField::plain("mediaType"),
    ClientField::plain("digest"),
    ClientField::plain("size"),
    ClientField::plain("urls"),
    ClientField::plain("annotations"),
    ClientField::plain("data"),
    ClientField::with_fields("platform", &PLATFORM),
    ClientField::plain("artifactType"),
]);

static PLATFORM: FieldTable = FieldTable(&[
    ClientField::plain("architecture"),
    ClientField::plain("os"),
    ClientField::plain("os.version"),
    ClientField::plain("os.features"),
    ClientField::plain("variant"),
    ClientField::plain("features"),
]);

static SCHEMA_1_LAYER: FieldTable = FieldTable(&[ClientField::plain("blobSum")]);

static SCHEMA_1_HISTORY: FieldTable = FieldTable(&[ClientField::plain("v1Compatibility")]);
