//! Paths under `/v2/`.
//!
//! Image names may have slashes and any words in them, `blobs` and `tags` among them. So a path is parsed from its end,
//! where each route has one shape. The part before that is the name.

use http::Method;
use model::permission::Permission;
use percent_encoding::percent_decode_str;

use model::permissions::artifactregistry;
use web::audit::AuditedOperation;
use web::routes::{RouteAccess, RouteSpec};

/// The routes with the name of an image, and the permission that each needs on the repository of that name.
pub const ROUTES: [RouteSpec; 9] = [
    on(artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS, "GET HEAD", MANIFEST),
    on(artifactregistry::REPOSITORIES_UPLOAD_ARTIFACTS, "PUT", MANIFEST),
    on(artifactregistry::REPOSITORIES_DELETE_ARTIFACTS, "DELETE", MANIFEST),
    on(artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS, "GET HEAD", BLOB),
    on(artifactregistry::REPOSITORIES_DELETE_ARTIFACTS, "DELETE", BLOB),
    on(artifactregistry::REPOSITORIES_UPLOAD_ARTIFACTS, "POST", UPLOADS),
    on(artifactregistry::REPOSITORIES_UPLOAD_ARTIFACTS, "GET HEAD PATCH PUT DELETE", UPLOAD),
    on(artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS, "GET HEAD", TAGS),
    on(artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS, "GET HEAD", REFERRERS),
];

const MANIFEST: &str = "/v2/{image}/manifests/{reference}";
const BLOB: &str = "/v2/{image}/blobs/{digest}";
const UPLOADS: &str = "/v2/{image}/blobs/uploads/";
const UPLOAD: &str = "/v2/{image}/blobs/uploads/{id}";
const TAGS: &str = "/v2/{image}/tags/list";
const REFERRERS: &str = "/v2/{image}/referrers/{digest}";

const fn on(permission: Permission, methods: &'static str, path: &'static str) -> RouteSpec {
    RouteSpec { methods, path, asks: RouteAccess::Permission(permission) }
}

/// The route of a path below `/v2/`. Names and references are not parsed yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum OciRoute<'a> {
    Blob { image: &'a str, digest: String },
    Uploads { image: &'a str },
    Upload { image: &'a str, id: &'a str },
    Manifest { image: &'a str, reference: String },
    Tags { image: &'a str },
    Referrers { image: &'a str, digest: String },
}

impl<'a> OciRoute<'a> {
    /// Parses the part of a path after `/v2/`.
    pub(super) fn parse(path: &'a str) -> Option<Self> {
        let path = path.strip_suffix("/blobs/uploads/").map_or(path, |_| &path[..path.len() - 1]);
        let (rest, last) = path.rsplit_once('/')?;
        let (image, kind) = rest.rsplit_once('/').unwrap_or(("", rest));
        match (kind, last) {
            ("blobs", "uploads") => Some(Self::Uploads { image }),
            ("blobs", digest) => Some(Self::Blob { image, digest: decode(digest) }),
            ("uploads", id) => {
                let image = image.strip_suffix("/blobs").or((image == "blobs").then_some(""))?;
                Some(Self::Upload { image, id })
            }
            ("manifests", reference) => {
                Some(Self::Manifest { image, reference: decode(reference) })
            }
            ("tags", "list") => Some(Self::Tags { image }),
            ("referrers", digest) => Some(Self::Referrers { image, digest: decode(digest) }),
            _ => None,
        }
    }

    /// Returns the methods that [`ROUTES`] declares for this route.
    pub(super) fn methods(&self) -> Vec<Method> {
        self.method_names().map(|method| method.parse().expect("a method")).collect()
    }

    /// Returns whether [`ROUTES`] declares a method for this route.
    pub(super) fn takes(&self, method: &Method) -> bool {
        self.method_names().any(|declared| declared == method.as_str())
    }

    fn method_names(&self) -> impl Iterator<Item = &'static str> {
        let path = match self {
            Self::Blob { .. } => BLOB,
            Self::Uploads { .. } => UPLOADS,
            Self::Upload { .. } => UPLOAD,
            Self::Manifest { .. } => MANIFEST,
            Self::Tags { .. } => TAGS,
            Self::Referrers { .. } => REFERRERS,
        };
        let declared = ROUTES.iter().filter(move |declared| declared.path == path);
        declared.flat_map(|declared| declared.methods.split(' '))
    }

    /// Returns the name of the route in metrics.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Blob { .. } => "blob",
            Self::Uploads { .. } | Self::Upload { .. } => "upload",
            Self::Manifest { .. } => "manifest",
            Self::Tags { .. } => "tags",
            Self::Referrers { .. } => "referrers",
        }
    }
}

impl OciRoute<'_> {
    /// Returns the operation for the audit log, or `None` for a method that the route does not take.
    pub(super) fn operation(&self, method: &Method) -> Option<AuditedOperation> {
        let is_tag = |reference: &str| !reference.contains(':');
        Some(match (self, method.as_str()) {
            (Self::Manifest { .. }, "GET") => AuditedOperation::read("Docker-GetManifest"),
            (Self::Manifest { .. }, "HEAD") => AuditedOperation::read("Docker-HeadManifest"),
            (Self::Manifest { .. }, "PUT") => AuditedOperation::write("Docker-PutManifest"),
            (Self::Manifest { reference, .. }, "DELETE") if is_tag(reference) => {
                AuditedOperation::write("Docker-DeleteTag")
            }
            (Self::Manifest { .. }, "DELETE") => AuditedOperation::write("Docker-DeleteManifest"),
            (Self::Blob { .. }, "GET") => AuditedOperation::read("Docker-ServeBlob"),
            (Self::Blob { .. }, "HEAD") => AuditedOperation::read("Docker-HeadBlob"),
            (Self::Blob { .. }, "DELETE") => AuditedOperation::write("Docker-DeleteBlob"),
            (Self::Uploads { .. }, "POST") => AuditedOperation::write("Docker-StartUpload"),
            // A blob has one entry, and not one for each chunk.
            (Self::Upload { .. }, "PATCH") => AuditedOperation::part("Docker-PatchUpload"),
            (Self::Upload { .. }, "PUT") => AuditedOperation::write("Docker-FinishUpload"),
            (Self::Upload { .. }, "DELETE") => AuditedOperation::write("Docker-CancelUpload"),
            (Self::Upload { .. }, "GET" | "HEAD") => AuditedOperation::read("Docker-GetUpload"),
            (Self::Tags { .. }, "GET" | "HEAD") => AuditedOperation::read("Docker-GetTags"),
            (Self::Referrers { .. }, "GET" | "HEAD") => {
                AuditedOperation::read("Docker-GetReferrers")
            }
            _ => return None,
        })
    }
}

/// Decodes the last segment of a path, because some clients write the colon of a digest as `%3A`. The result must still
/// be parsed.
fn decode(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expected: &str) {
        let actual = match OciRoute::parse(path) {
            Some(OciRoute::Blob { image, digest }) => format!("blob {digest} of {image}"),
            Some(OciRoute::Uploads { image }) => format!("uploads of {image}"),
            Some(OciRoute::Upload { image, id }) => format!("upload {id} of {image}"),
            Some(OciRoute::Manifest { image, reference }) => {
                format!("manifest {reference} of {image}")
            }
            Some(OciRoute::Tags { image }) => format!("tags of {image}"),
            Some(OciRoute::Referrers { image, digest }) => {
                format!("referrers of {digest} of {image}")
            }
            None => "nothing".to_owned(),
        };
        assert_eq!(actual, expected, "{path}");
    }

    #[test]
    fn routes() {
        check("p/r/i/blobs/sha256:a", "blob sha256:a of p/r/i");
        check("p/r/i/blobs/sha256%3Aa", "blob sha256:a of p/r/i");
        check("p/r/i/blobs/uploads/", "uploads of p/r/i");
        check("p/r/i/blobs/uploads", "uploads of p/r/i");
        check("p/r/i/blobs/uploads/x", "upload x of p/r/i");
        check("p/r/a/b/manifests/latest", "manifest latest of p/r/a/b");
        check("p/r/i/tags/list", "tags of p/r/i");
        check("p/r/i/referrers/sha256:a", "referrers of sha256:a of p/r/i");
        check("p/manifests/x", "manifest x of p");
        check("manifests/x", "manifest x of ");
    }

    #[test]
    fn words_of_the_protocol_may_be_names() {
        check("p/r/blobs/uploads/manifests/x", "manifest x of p/r/blobs/uploads");
        check("p/r/manifests/tags/list", "tags of p/r/manifests");
        check("p/r/tags/list/blobs/uploads/", "uploads of p/r/tags/list");
        check("p/r/uploads/blobs/uploads/x", "upload x of p/r/uploads");
        check("p/r/uploads/x", "nothing");
        check("p/r/i/manifests/", "manifest  of p/r/i");
        check("p/r/i/tags/list/", "nothing");
        check("p/r/i", "nothing");
        check("", "nothing");
    }
}
