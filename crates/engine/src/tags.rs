//! Tags: how they are set, moved and deleted, where they stay, and the rules about them.

pub(crate) mod download_rules;
pub(crate) mod immutability;
pub(crate) mod tag_write;
