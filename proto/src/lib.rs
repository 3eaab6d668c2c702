//! The language of PeerSox.
//!
//! Everything here is generated from `peersox/v1/*.proto`; the comments of those files are the
//! documentation. Features choose how much is generated:
//!
//! - `messages` (default): prost messages only, no gRPC runtime, builds for wasm32;
//! - `client`: tonic client stubs;
//! - `server`: tonic server traits and [`v1::FILE_DESCRIPTOR_SET`] for reflection.

/// Version 1 of the language, package `peersox.v1`.
#[allow(
    missing_docs,
    clippy::all,
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    clippy::cast_possible_truncation,
    unused_qualifications
)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/peersox.v1.rs"));

    /// The encoded `google.protobuf.FileDescriptorSet` of the package, for gRPC reflection.
    #[cfg(feature = "server")]
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/peersox_descriptor.bin"));
}
