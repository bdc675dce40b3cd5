//! Google's APIs as Berth serves them, compiled from `.proto` files of our own.
//!
//! The packages, messages, fields, methods and numbers are Google's, as far as container images need them. A field
//! whose number is not public has a number from 9000 on and is served on REST only. Beside its HTTP rule, every method
//! states the access that it requires (`berth/access.proto`). A method that is not implemented yet answers
//! UNIMPLEMENTED.
//!
//! This crate has no behaviour. The generated clients are for tests, which call gRPC with them.

#[expect(
    missing_docs,
    clippy::allow_attributes,
    reason = "generated from the .proto files, which comment only on items that need an explanation"
)]
mod contract {
    include!(concat!(env!("OUT_DIR"), "/contract.rs"));
}

pub use contract::{berth, google, grafeas};

/// The encoded descriptors of the whole contract, including the options with the HTTP rule and the access of each
/// method.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/contract.bin"));
