//! The parts that every door shares: the application's state, the layer around every request, authentication, the audit
//! log, and the answers that are plain bytes.
//!
//! - [`layer`] gives every request its id, its log line and its limits;
//! - [`auth`] finds out who sent a request;
//! - [`audit`] records what was done and what was refused;
//! - [`content`] answers content, whole or in ranges;
//! - [`routes`] accepts only routes that declare what they ask of their caller.

pub mod app;
pub mod audit;
pub mod auth;
pub mod content;
pub mod host;
pub mod layer;
pub mod list_readers;
pub mod routes;
pub mod server_url;
pub mod settings;
pub mod units;
