//! The permissions, as constants that `build.rs` makes from `data/roles.txt`.

include!(concat!(env!("OUT_DIR"), "/permissions.rs"));
