//! `/v2/`, a file for each kind of thing.

mod blobs;
mod lists;
mod manifests;
mod referrers;
mod typos;
mod uploads;
