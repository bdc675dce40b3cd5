//! Compiles the contract: Rust types and service traits, and the descriptors that carry our options.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The files with the services. What they import comes along.
const SERVICES: [&str; 10] = [
    "google/devtools/artifactregistry/v1/service.proto",
    "google/longrunning/operations.proto",
    "google/cloud/location/locations.proto",
    "google/cloud/resourcemanager/v1/resourcemanager.proto",
    "google/api/serviceusage/v1/serviceusage.proto",
    "google/devtools/containeranalysis/v1/containeranalysis.proto",
    "google/iam/admin/v1/iam.proto",
    "google/iam/credentials/v1/iamcredentials.proto",
    "grafeas/v1/grafeas.proto",
    // No service: what errors carry is imported by nobody, but has to be in the set to be printed as JSON.
    "google/rpc/error_details.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new([Path::new("proto")])?;
    compiler.include_imports(true).include_source_info(false).open_files(SERVICES)?;
    // Encoded by the compiler itself: a set of prost's types would lose the options, which are extensions.
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("contract.bin"), compiler.encode_file_descriptor_set())?;

    // With source info, comments become documentation.
    let files = compiler.include_source_info(true).file_descriptor_set();
    let mut config = prost_build::Config::new();
    // An Any has to name its type exactly as Google's clients know it.
    config.enable_type_names().type_name_domain(["."], "type.googleapis.com");
    // In order, so that equal messages are equal bytes.
    config.btree_map(["."]);
    tonic_prost_build::configure()
        .build_transport(false)
        .generate_default_stubs(true)
        .include_file("contract.rs")
        .compile_fds_with_config(files, config)?;
    Ok(())
}
