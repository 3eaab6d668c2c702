//! Makes the tables of `op.rs`, `told.rs` and `failure.rs` of `engine.ops`.

mod table;

use std::path::Path;

use table::Form;

fn main() -> Result<(), String> {
    table::generate(
        Path::new("engine.ops"),
        &[
            ("op", Form::Constants),
            ("mode", Form::Constants),
            ("connection", Form::Constants),
            ("channel", Form::Constants),
            ("told", Form::Enum("Told")),
            ("end", Form::Enum("End")),
            ("cause", Form::Enum("Cause")),
            ("fault", Form::Enum("Fault")),
        ],
    )
}
