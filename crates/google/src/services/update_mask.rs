//! The mask of an update of a repository: which of its fields change.

use std::collections::BTreeSet;

use prost_types::FieldMask;
use tonic::Status;

use super::bad_field;

/// The fields that an update may name.
const MUTABLE: [&str; 9] = [
    "description",
    "labels",
    "docker_config",
    "cleanup_policies",
    "cleanup_policy_dry_run",
    "vulnerability_scanning_config",
    "remote_repository_config",
    "virtual_repository_config",
    "disallow_unspecified_mode",
];
/// The fields that clients send back and that cannot be changed.
const FIXED: [&str; 10] = [
    "name",
    "format",
    "mode",
    "create_time",
    "update_time",
    "kms_key_name",
    "size_bytes",
    "satisfies_pzs",
    "satisfies_pzi",
    "registry_uri",
];

/// The paths of the fields that an update changes; `None` is all fields.
pub(super) struct UpdateMask(Option<BTreeSet<String>>);

impl UpdateMask {
    pub(super) fn everything() -> Self {
        Self(None)
    }

    /// Reads a mask. An absent mask means all fields, and so does an empty one, because some clients cannot send the
    /// difference.
    pub(super) fn new(mask: Option<FieldMask>) -> Result<Self, Status> {
        let paths = mask.map(|mask| mask.paths).unwrap_or_default();
        let mut fields = BTreeSet::new();
        for path in &paths {
            let field = path.split('.').next().unwrap_or_default();
            if field == "*" {
                return Ok(Self(None));
            }
            if FIXED.contains(&field) {
                return Err(bad_field("update_mask", format!("{field} cannot be changed")));
            }
            if !MUTABLE.contains(&field) {
                return Err(bad_field(
                    "update_mask",
                    format!("{field} is no field of a repository"),
                ));
            }
            fields.insert(path.clone());
        }
        Ok(Self((!paths.is_empty()).then_some(fields)))
    }

    /// Returns whether a field, or a part of it, changes.
    pub(super) fn has(&self, field: &str) -> bool {
        let is_of_field = |path: &String| path.split('.').next() == Some(field);
        self.0.as_ref().is_none_or(|paths| paths.iter().any(is_of_field))
    }

    /// Returns whether the configuration of the mode, and so the upstreams, may change.
    pub(super) fn changes_mode_config(&self) -> bool {
        self.has("remote_repository_config") || self.has("virtual_repository_config")
    }

    /// Returns whether the mask has all fields.
    pub(super) fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// Returns whether the mask has this path, or one below it.
    pub(super) fn names_within(&self, path: &str) -> bool {
        let is_within = |named: &String| {
            named.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.0.as_ref().is_some_and(|paths| paths.iter().any(is_within))
    }

    /// Returns whether the mask has exactly this path.
    pub(super) fn names(&self, path: &str) -> bool {
        self.0.as_ref().is_some_and(|paths| paths.contains(path))
    }
}
