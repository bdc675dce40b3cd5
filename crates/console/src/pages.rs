//! The pages, one file for each, with its template.

pub(crate) mod connect;
pub(crate) mod images;
pub(crate) mod language;
pub(crate) mod paging;
pub(crate) mod projects;
pub(crate) mod raw;
pub(crate) mod repositories;
pub(crate) mod search;
pub(crate) mod tags;
pub(crate) mod trail;
pub(crate) mod version;
