//! What a machine tells. build.rs makes it of `engine.ops`.

include!(concat!(env!("OUT_DIR"), "/told.rs"));
include!(concat!(env!("OUT_DIR"), "/end.rs"));
include!(concat!(env!("OUT_DIR"), "/cause.rs"));
