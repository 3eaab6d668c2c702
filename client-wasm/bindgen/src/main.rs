//! Makes the JavaScript glue for a WebAssembly module that was built with wasm-bindgen.
//!
//! usage: `peersox-bindgen MODULE.wasm DIRECTORY`
//!
//! A library of wasm-bindgen in a binary of ours, so that `Cargo.lock` pins both to one version and
//! nobody has to install a tool.

use anyhow::{Context as _, bail};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [module, directory] = arguments.as_slice() else {
        bail!("usage: peersox-bindgen MODULE.wasm DIRECTORY");
    };
    Bindgen::new()
        .input_path(module)
        .out_name("engine")
        .web(true)?
        // Without it bundlers would look for a file beside the script.
        .omit_default_module_path(true)
        .typescript(true)
        .remove_name_section(std::env::var_os("PEERSOX_WASM_NAMES").is_none())
        .remove_producers_section(true)
        .generate(directory)
        .context("wasm-bindgen failed")
}
