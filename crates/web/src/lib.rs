//! The ground that every door shares: the state of the app, what happens to every request, who asks, the audit log, and how
//! bytes are answered.
//!
//! - [`layer`] gives a request its id, its log line and its limits;
//! - [`auth`] finds out who makes it;
//! - [`audit`] writes down what was done or refused;
//! - [`content`] answers bytes, whole or in ranges;
//! - [`routes`] lets no route in that does not say what it asks of its caller.

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
