//! The `berth` server: listeners, settings, jobs and the `berth` command.
//!
//! The tree tells the story of a request: [`listen`] accepts the connection, `web::layer` gives the request an id, a
//! log line and its limits, `web::auth` finds out who asks, and the doors (`oci`, `google`) answer by one call of
//! `engine` or `identity`. `web::audit` records what was done and what was refused. [`routes`] puts the doors together.

mod admins;
pub mod cli;
pub mod config;
pub mod data;
mod egress;
mod jobs;
pub mod listen;
pub mod metadata_server;
mod notifications;
mod operator;
mod ops;
pub mod routes;
pub mod run;
mod stores;
mod upstream_client;
