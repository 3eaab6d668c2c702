//! Tests of all of it together.

mod vectors;
