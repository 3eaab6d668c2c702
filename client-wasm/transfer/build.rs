//! Makes the tables of `lib.rs` of `client-wasm/engine.ops`.

#[path = "../table.rs"]
mod table;

use std::path::Path;

use table::Form;

fn main() -> Result<(), String> {
    table::generate(
        Path::new("../engine.ops"),
        &[
            ("ask", Form::Enum("Ask")),
            ("why", Form::Enum("Why")),
            ("cancel", Form::Constants),
        ],
    )
}
