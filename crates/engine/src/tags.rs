//! Tags: how they are set, moved and deleted, and the rules that keep them in place.

pub(crate) mod download_rules;
pub(crate) mod image_change;
pub(crate) mod immutability;
pub(crate) mod tag_write;
