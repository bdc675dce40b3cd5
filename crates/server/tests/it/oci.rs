//! Tests of `/v2/`, one file for each kind of thing.

mod blobs;
mod complete;
mod conditions;
mod copies;
mod held_content;
mod index_of_blobs;
mod lists;
mod manifests;
mod parts;
mod referrers;
mod typos;
mod uploads;
