//! Attachments: manifests whose subject is an image.

mod created;
mod pushed;

use super::{api_path, percent_encode, resource_name};

const SPDX: &str = "application/spdx+json";

fn filter_path(field: &str, rest: &str) -> String {
    api_path(&format!(
        "attachments?pageSize=1&filter={}",
        percent_encode(&format!("{field}=\"{}\"", resource_name(rest)))
    ))
}
