//! What can be asked for: the number that [`call`](crate::door::call) is given, and numbers that arguments
//! stand for. build.rs makes them of `engine.ops`.

include!(concat!(env!("OUT_DIR"), "/op.rs"));

/// When to look for a direct path.
pub(crate) mod mode {
    include!(concat!(env!("OUT_DIR"), "/mode.rs"));
}

/// The state of a connection.
pub(crate) mod connection {
    include!(concat!(env!("OUT_DIR"), "/connection.rs"));
}

/// The state of its reliable channel.
pub(crate) mod channel {
    include!(concat!(env!("OUT_DIR"), "/channel.rs"));
}
