//! The pages, one file for each, with its template.

pub(crate) mod activity;
pub(crate) mod artifact_kind;
pub(crate) mod change_tags;
pub(crate) mod compare;
pub(crate) mod connect;
pub(crate) mod delete;
pub(crate) mod history;
pub(crate) mod image;
pub(crate) mod images;
pub(crate) mod language;
pub(crate) mod paging;
pub(crate) mod password;
pub(crate) mod projects;
pub(crate) mod raw;
pub(crate) mod repositories;
pub(crate) mod rights;
pub(crate) mod row_selection;
pub(crate) mod search;
pub(crate) mod sign_in;
pub(crate) mod tags;
pub(crate) mod trail;
pub(crate) mod upstreams;
pub(crate) mod version;
pub(crate) mod versions;
pub(crate) mod you;
