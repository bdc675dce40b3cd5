//! Compiles the contract into Rust types, service traits, and descriptors with the options of our own.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The files to compile. The files that they import are compiled too.
const ROOT_FILES: [&str; 10] = [
    "google/devtools/artifactregistry/v1/service.proto",
    "google/longrunning/operations.proto",
    "google/cloud/location/locations.proto",
    "google/cloud/resourcemanager/v1/resourcemanager.proto",
    "google/api/serviceusage/v1/serviceusage.proto",
    "google/devtools/containeranalysis/v1/containeranalysis.proto",
    "google/iam/admin/v1/iam.proto",
    "google/iam/credentials/v1/iamcredentials.proto",
    "grafeas/v1/grafeas.proto",
    // This file has no service, and no other file imports it. The descriptors need it to print the details of errors as
    // JSON.
    "google/rpc/error_details.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new([Path::new("proto")])?;
    compiler.include_imports(true).include_source_info(false).open_files(ROOT_FILES)?;
    // The compiler itself encodes the set. A set of prost's types would lose our options, because they are extensions.
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("contract.bin"), compiler.encode_file_descriptor_set())?;

    // With source info, the comments become the documentation of the Rust types.
    let files = compiler.include_source_info(true).file_descriptor_set();
    let mut config = prost_build::Config::new();
    // An `Any` names its type by this domain, as Google's clients expect.
    config.enable_type_names().type_name_domain(["."], "type.googleapis.com");
    // Ordered maps, so that equal messages have equal bytes.
    config.btree_map(["."]);
    // Few messages have it, and all messages of repositories have the room for it.
    config.boxed(".google.devtools.artifactregistry.v1.RemoteRepositoryConfig.upstream_state");
    tonic_prost_build::configure()
        .build_transport(false)
        .generate_default_stubs(true)
        .include_file("contract.rs")
        .compile_fds_with_config(files, config)?;
    Ok(())
}
