//! The names and rules of a registry: parsing of names, digests, references and manifests, and decisions about
//! permissions, rules and cleanup policies.
//!
//! Every name that a client sends is parsed here, once, into a type that holds only valid names. This crate does no IO,
//! reads no clock and keeps no state.

pub mod artifact_name;
pub mod attachment;
pub mod byte_range;
pub mod cleanup;
pub mod client_network;
pub mod custom_role;
pub mod digest;
pub mod effective_policy;
pub mod iam_policy;
pub mod image_config;
pub mod json;
pub mod labels;
pub mod list_filter;
pub mod locations;
pub mod manifest;
pub mod media_type;
pub mod name;
pub mod oauth_scopes;
pub mod page_size;
pub mod permission;
pub mod permission_set;
pub mod permissions;
pub mod precondition;
pub mod principal;
pub mod reference;
pub mod registry_host;
pub mod registry_scope;
pub mod remote_rules;
pub mod repository;
pub mod repository_rule;
pub mod resource;
pub mod role;
pub mod rule_condition;
pub mod secret;
pub mod upstream_credentials;
