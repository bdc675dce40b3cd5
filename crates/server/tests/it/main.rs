//! The server's tests through its front door: a test sends requests and looks at what a client sees.
//!
//! Tests of `/v2/` run twice, on SQLite and on PostgreSQL. PostgreSQL needs `TEST_POSTGRES_URL`, the URL of a database
//! administrator, which `./test` sets. Without that URL these tests say that they were skipped.

// A test that is missing in a list of `on_both!` is not used, and must not compile.
#![deny(dead_code)]

mod attacks;
mod audit;
mod console;
mod cors;
mod disk;
mod early;
mod env;
mod gc;
mod house;
mod identity;
mod images;
mod limits;
mod lost;
mod monitoring;
mod oci;
mod ops;
mod origin;
mod people;
mod processes;
mod readers;
mod scrub;
mod settings;
mod signals;
mod startup;
mod stores;
mod strangers;
mod tables;
mod upstreams;
mod util;
