//! Resource names as requests carry them.

use std::fmt::Display;
use std::str::FromStr;

use model::principal::AccountEmail;
use model::resource::Resource;
use tonic::{Code, Status};

use super::bad_field;
use crate::GoogleError;

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

/// What a field names that has to be there. What cannot be anything's name is not there.
pub(super) fn found<T>(name: &str) -> Result<T, Status>
where
    T: FromStr<Err: Display>,
{
    name.parse().map_err(|problem| {
        GoogleError::new(Code::NotFound, format!("{name} was not found: {problem}")).into()
    })
}
