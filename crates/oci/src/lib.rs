//! The registry's own doors: OCI Distribution 1.1 with the additions of 1.2-dev below `/v2/`, and the token endpoints.

mod blobs;
mod challenge;
mod complete;
mod conditions;
mod context;
mod doors;
mod error;
mod manifests;
mod next_link;
mod path;
mod query;
mod range;
mod referrers;
mod short_path;
mod tags;
pub mod token;
mod uploads;
mod version_entry;

pub use doors::{by_path, catalog, nothing_here, ping};
pub use error::OciError;
pub use path::ROUTES;
