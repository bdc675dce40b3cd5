//! The names and rules of a registry: parsing of names, digests, references and manifests, and decisions about
//! permissions, rules and cleanup policies.
//!
//! Every name that a client sends is parsed here, once, into a type that holds only valid names. This crate does no IO,
//! reads no clock and keeps no state.

pub mod artifact;
pub mod attachment;
pub mod cleanup;
pub mod condition;
pub mod config;
pub mod digest;
pub mod filter;
pub mod host;
pub mod json;
pub mod labels;
pub mod locations;
pub mod manifest;
pub mod media_type;
pub mod name;
pub mod paging;
pub mod permission;
pub mod policy;
pub mod precondition;
pub mod principal;
pub mod range;
pub mod reach;
pub mod reference;
pub mod repository;
pub mod resource;
pub mod role;
pub mod rule;
pub mod scope;
