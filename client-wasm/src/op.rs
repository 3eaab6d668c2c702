//! What can be asked for: the number that [`call`](crate::door::call) is given. build.rs makes it of `engine.ops`.

include!(concat!(env!("OUT_DIR"), "/op.rs"));
