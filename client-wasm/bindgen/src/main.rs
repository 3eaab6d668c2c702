//! Makes the JavaScript glue for a WebAssembly module that was built with wasm-bindgen.
//!
//! usage: `peersox-bindgen MODULE.wasm DIRECTORY NAME`
//!
//! A library of wasm-bindgen in a binary of ours, so that `Cargo.lock` pins both to one version and
//! nobody has to install a tool.
//!
//! It also takes out what a panic would say. There is nobody to say it to: a module without a panic
//! hook traps either way, and the sentences and what puts them together are a tenth of the download.

use anyhow::{Context as _, bail};
use walrus::{FunctionBuilder, FunctionId, FunctionKind, LocalFunction, Module};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [module, directory, name] = arguments.as_slice() else {
        bail!("usage: peersox-bindgen MODULE.wasm DIRECTORY NAME");
    };
    let mut output = Bindgen::new()
        .input_path(module)
        .out_name(name)
        .web(true)?
        // Without it bundlers would look for a file beside the script.
        .omit_default_module_path(true)
        .typescript(true)
        // wasm-opt strips the names.
        .remove_name_section(false)
        .remove_producers_section(true)
        .generate_output()
        .context("wasm-bindgen failed")?;
    trap_instead_of_talking(output.wasm_mut());
    output.emit(directory)
}

/// Makes every function that only ends in a panic a trap.
fn trap_instead_of_talking(module: &mut Module) {
    let silenced: Vec<FunctionId> = module
        .funcs
        .iter_local()
        .map(|(id, _)| id)
        .filter(|id| {
            let name = module.funcs.get(*id).name.as_deref();
            name.is_some_and(only_panics)
        })
        .collect();
    for id in silenced {
        let kind = module.funcs.get(id).kind.unwrap_local();
        let (parameters, results) = module.types.params_results(kind.ty());
        let (parameters, results) = (parameters.to_vec(), results.to_vec());
        let mut trap = FunctionBuilder::new(&mut module.types, &parameters, &results);
        trap.func_body().unreachable();
        let trap: LocalFunction = trap.local_func(kind.args.clone());
        module.funcs.get_mut(id).kind = FunctionKind::Local(trap);
    }
}

/// By the names of the standard library and of `bytes`; one that is renamed is merely kept.
fn only_panics(name: &str) -> bool {
    const BEGIN: [&str; 12] = [
        "core::panicking::",
        "core::option::expect_failed",
        "core::option::unwrap_failed",
        "core::result::unwrap_failed",
        "core::slice::index::slice_index_fail",
        "core::str::slice_error_fail",
        "core::cell::panic_already",
        "alloc::raw_vec::capacity_overflow",
        "alloc::raw_vec::handle_error",
        "alloc::alloc::handle_alloc_error",
        "bytes::panic_",
        "std::panicking::",
    ];
    const END: [&str; 4] = [
        "::assert_failed",
        "::len_mismatch_fail",
        "rust_begin_unwind",
        "::unwrap_failed",
    ];
    // `core[0123456789abcdef]::panicking::panic` has the crate's digest in it.
    let mut plain = String::with_capacity(name.len());
    let mut inside = false;
    for letter in name.chars() {
        match letter {
            '[' => inside = true,
            ']' if inside => inside = false,
            _ if inside => {}
            letter => plain.push(letter),
        }
    }
    let plain = plain.trim_start_matches('<');
    // Of mangled names of the older kind the last part is a digest, too.
    let plain = match plain.rsplit_once("::h") {
        Some((rest, digest)) if digest.len() == 16 => rest,
        _ => plain,
    };
    BEGIN.iter().any(|it| plain.starts_with(it)) || END.iter().any(|it| plain.ends_with(it))
}
