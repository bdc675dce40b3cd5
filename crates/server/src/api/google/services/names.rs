//! Resource names as requests carry them.

use model::principal::AccountEmail;
use model::resource::Resource;
use tonic::Status;

use super::bad_field;

/// The resource that a field names.
pub(super) fn resource(field: &str, name: &str) -> Result<Resource, Status> {
    name.parse().map_err(|problem| bad_field(field, problem))
}

/// The service account of `projects/P/serviceAccounts/EMAIL`, or a bare address.
pub(super) fn account(field: &str, name: &str) -> Result<AccountEmail, Status> {
    let email = name.rsplit('/').next().unwrap_or_default();
    email.parse().map_err(|problem| bad_field(field, problem))
}

/// What stands behind the last `/`.
pub(super) fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or_default()
}
