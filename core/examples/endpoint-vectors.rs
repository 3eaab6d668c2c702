//! Writes `tests/vectors/endpoint.json`: what shells do at their endpoints in some simulated worlds.
//!
//! `cargo run -p peersox-core --features testing --example endpoint-vectors > tests/vectors/endpoint.json`

fn main() {
    match peersox_core::testing::replay::file() {
        Ok(file) => print!("{file}"),
        Err(wrong) => {
            eprintln!("{wrong}");
            std::process::exit(1);
        }
    }
}
