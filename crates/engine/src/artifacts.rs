//! Artifacts as Google's APIs have them: repositories, packages, versions, tags, files, attachments and rules.

pub(crate) mod activity;
pub(crate) mod annotations;
pub(crate) mod attachment_create;
pub(crate) mod attachments;
pub(crate) mod delete;
pub(crate) mod deletion_plan;
pub(crate) mod explain;
pub(crate) mod files;
pub(crate) mod image_list;
pub(crate) mod image_summaries;
pub(crate) mod listing;
pub(crate) mod manifest_list;
pub(crate) mod repositories;
pub(crate) mod repository_summaries;
pub(crate) mod rules;
pub(crate) mod search;
pub(crate) mod tag_history;
pub(crate) mod tag_table;
pub(crate) mod upstream_check;
pub(crate) mod upstreams;
pub(crate) mod version_content;
pub(crate) mod version_relations;
