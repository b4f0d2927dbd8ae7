//! Compiles `proto/` with protox, so that no `protoc` has to be installed.

#![expect(
    clippy::disallowed_methods,
    reason = "a build script is told its inputs by the environment"
)]

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(
        [
            "proto/attestree/v1/log.proto",
            "proto/attestree/v1/event.proto",
            "proto/attestree/v1/admin.proto",
        ],
        ["proto"],
    )?;

    // Served by reflection, and compared with the committed set by `tests/suite/descriptors.rs`.
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("attestree.v1.binpb"), descriptors.encode_to_vec())?;

    tonic_prost_build::configure()
        .bytes(".")
        .build_server(env::var_os("CARGO_FEATURE_SERVER").is_some())
        .compile_fds(descriptors)?;
    Ok(())
}
