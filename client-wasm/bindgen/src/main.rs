//! Makes the JavaScript glue for a WebAssembly module that was built with wasm-bindgen.
//!
//! usage: `peersox-bindgen MODULE.wasm DIRECTORY NAME [--web]`
//!
//! A library of wasm-bindgen in a binary of ours, so that `Cargo.lock` pins both to one version and
//! nobody has to install a tool. The glue is that for bundlers, which leaves it to others to fetch
//! and start the module: `js/src/instantiate.ts` does. With `--web` it is a script that a page imports
//! and calls, and that fetches the module itself.

use anyhow::{Context as _, bail};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let (module, directory, name, web) = match arguments.as_slice() {
        [module, directory, name] => (module, directory, name, false),
        [module, directory, name, last] if last == "--web" => (module, directory, name, true),
        _ => bail!("usage: peersox-bindgen MODULE.wasm DIRECTORY NAME [--web]"),
    };
    let mut generator = Bindgen::new();
    if web {
        generator.web(true)?.omit_default_module_path(false);
    } else {
        generator.bundler(true)?;
    }
    let mut output = generator
        .input_path(module)
        .out_name(name)
        .typescript(false)
        // scripts/web strips the names, and scripts/wasm-parts.py reads them as the compiler writes them.
        .remove_name_section(false)
        .demangle(false)
        .remove_producers_section(true)
        .generate_output()
        .context("wasm-bindgen failed")?;
    // Of use with a panic that unwinds only.
    for unused in ["__abort_handler", "__instance_terminated"] {
        output.wasm_mut().exports.remove(unused)?;
    }
    output.emit(directory)
}
