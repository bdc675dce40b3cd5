//! Google's APIs: one contract, two doors.
//!
//! Each method is implemented once, as a method of a tonic service over the engine. gRPC calls reach it directly. The
//! transcoder (`rest.rs`) makes the same call from JSON, by the HTTP rules in the contract (`crates/proto`). Both doors
//! pass the [`Authorizer`], which checks the permission that the contract declares for the method. The code outside of
//! `services/` knows no method by name.

mod contract;
mod doors;
mod entry;
mod error;
mod frame;
mod gate;
mod intake;
mod json;
mod media;
mod overridden;
mod path;
mod query;
mod rest;
mod services;
mod template;
#[cfg(test)]
mod tests;
mod unknown;

pub use contract::{AccessRule, ContractError, HttpRule, MethodInfo};
pub use doors::{methods, router};
pub use entry::{ApiEntry, answer, is_api};
pub use error::GoogleError;
pub use gate::{Authorizer, RequiredAccess};
pub use intake::{BodyLimit, BodyReader, RejectedCredential};
pub use media::MediaDownload;
