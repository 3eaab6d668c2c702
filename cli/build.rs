//! Puts the page into the binary, if it was built.
//!
//! `scripts/web` leaves the page in `target/web/site`, with `embed.txt` as its table of contents: path, type,
//! digest and file name of each part, separated by tabs; `FILE.br` and `FILE.gz` lie beside. Without it the
//! binary carries the plain status page of `assets`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo says where this is"));
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo says where to write"));
    let site = root.join("../target/web/site");
    // Something has to be there to be watched, or cargo would run this, and build the crate, every time.
    let _ = fs::create_dir_all(&site);
    println!("cargo:rerun-if-changed={}", site.display());
    println!("cargo:rerun-if-changed=build.rs");
    let contents = fs::read_to_string(site.join("embed.txt")).unwrap_or_default();
    let parts: String = contents.lines().map(|line| part(&site, line)).collect();
    let table = format!("static SITE: &[Asset] = &[\n{parts}];\n");
    fs::write(out.join("site.rs"), table).expect("the output directory can be written");
}

fn part(site: &Path, line: &str) -> String {
    let fields: Vec<&str> = line.split('\t').collect();
    let [path, kind, digest, file] = fields[..] else {
        panic!("embed.txt has a line of {} fields", fields.len());
    };
    let file = site.join(file);
    let compressed = |ending: &str| {
        let mut name = file.clone().into_os_string();
        name.push(ending);
        let name = PathBuf::from(name);
        if name.exists() {
            format!("Some(include_bytes!({name:?}))")
        } else {
            "None".to_owned()
        }
    };
    let mut text = String::new();
    let _ = writeln!(
        text,
        "    Asset {{ path: {path:?}, kind: {kind:?}, digest: {digest:?}, plain: include_bytes!({file:?}), \
         gzip: {}, brotli: {} }},",
        compressed(".gz"),
        compressed(".br")
    );
    text
}
