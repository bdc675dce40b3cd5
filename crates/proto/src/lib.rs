//! Google's APIs as we serve them: our own `.proto` files, compiled.
//!
//! Packages, messages, fields, methods and numbers are Google's, as far as container images need them; a field whose
//! number is not public starts at 9000 and lives on REST only. Beside its HTTP rule every method says what it asks of
//! its caller (`berth/access.proto`). A service whose methods are not implemented yet answers UNIMPLEMENTED.
//!
//! This crate holds no behaviour. Clients are generated too: tests speak gRPC with them.

#[expect(
    missing_docs,
    clippy::allow_attributes,
    reason = "generated from the .proto files, whose comments explain what needs it"
)]
mod contract {
    include!(concat!(env!("OUT_DIR"), "/contract.rs"));
}

pub use contract::{berth, google, grafeas};

/// The encoded descriptors of the whole contract, with the options that say how a method is reached and by whom.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/contract.bin"));
