//! Content as the registry protocol has it: blobs, manifests, tags and referrers of an image, pushed and pulled.

pub(crate) mod blob_read;
pub(crate) mod catalog;
pub(crate) mod check_copy;
pub(crate) mod complete_list;
pub(crate) mod manifest_read;
pub(crate) mod preconditions;
pub(crate) mod push;
pub(crate) mod receive;
pub(crate) mod referrers;
pub(crate) mod remote;
pub(crate) mod remote_blob;
pub(crate) mod remote_lists;
pub(crate) mod source;
pub(crate) mod tag_list;
pub(crate) mod uploads;
pub(crate) mod upstream_pull;
