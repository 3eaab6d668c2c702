//! Compiles the `.proto` files with protox, so that no `protoc` has to be installed.

use std::path::PathBuf;

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const FILES: [&str; 4] = [
        "peersox/v1/directory.proto",
        "peersox/v1/pairing.proto",
        "peersox/v1/relay.proto",
        "peersox/v1/transfer.proto",
    ];
    println!("cargo:rerun-if-changed=peersox");

    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(
        out.join("peersox_descriptor.bin"),
        descriptors.encode_to_vec(),
    )?;

    tonic_prost_build::configure()
        .client_mod_attribute("peersox.v1", "#[cfg(feature = \"client\")]")
        .server_mod_attribute("peersox.v1", "#[cfg(feature = \"server\")]")
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
