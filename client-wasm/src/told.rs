//! What a machine tells. build.rs makes it of `engine.ops`.

include!(concat!(env!("OUT_DIR"), "/told.rs"));
