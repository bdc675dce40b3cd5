//! The server's tests, through its front door: requests in, what a client sees out.
//!
//! Tests of `/v2/` run twice, on SQLite and on PostgreSQL. The latter needs `TEST_POSTGRES_URL`, a database
//! administrator's URL, which `./test` sets; without it these tests say that they were skipped.

mod attacks;
mod audit;
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
mod processes;
mod readers;
mod scrub;
mod settings;
mod signals;
mod startup;
mod stores;
mod strangers;
mod tables;
mod util;
