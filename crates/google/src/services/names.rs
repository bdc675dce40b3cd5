//! Parsing of resource names in requests.

use std::fmt::Display;
use std::str::FromStr;

use model::principal::AccountEmail;
use model::resource::Resource;
use tonic::{Code, Status};

use super::bad_field;
use crate::GoogleError;

/// Parses the name of a resource in a field.
pub(super) fn resource(field: &str, name: &str) -> Result<Resource, Status> {
    name.parse().map_err(|problem| bad_field(field, problem))
}

/// Parses the name of a service account in a field: `projects/P/serviceAccounts/EMAIL`, or only the address.
pub(super) fn account(field: &str, name: &str) -> Result<AccountEmail, Status> {
    let email = name.rsplit('/').next().unwrap_or_default();
    email.parse().map_err(|problem| bad_field(field, problem))
}

/// Returns the text behind the last `/`.
pub(super) fn last_segment(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or_default()
}

/// Parses the name of a resource that has to exist. A text that is no valid name is `NOT_FOUND`, because nothing can
/// have that name.
pub(super) fn parse_existing<T>(name: &str) -> Result<T, Status>
where
    T: FromStr<Err: Display>,
{
    name.parse().map_err(|problem| {
        GoogleError::new(Code::NotFound, format!("{name} was not found: {problem}")).into()
    })
}
