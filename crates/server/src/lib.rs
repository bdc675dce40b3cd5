//! The `berth` server: the only crate that knows HTTP, signals and settings.
//!
//! The tree tells the story of a request: [`listen`] accepts the connection, [`layer`] gives the request an id,
//! a log line and its limits, [`auth`] finds out who asks, and [`api`] answers by one call of the engine. What was done
//! or refused goes to [`audit`].

pub mod api;
pub mod audit;
pub mod auth;
pub mod cli;
pub mod config;
pub mod data;
mod egress;
mod jobs;
pub mod layer;
pub mod listen;
mod notifications;
pub mod run;
mod stores;
