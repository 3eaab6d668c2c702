//! Reads `engine.ops` and makes Rust of it, for the build scripts of `client-wasm` and
//! `client-wasm/transfer`.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// How the rows of a kind are written in Rust.
pub enum Form {
    /// A constant `u8` for each row.
    Constants,
    /// An enumeration of this name.
    Enum(&'static str),
}

/// Writes `KIND.rs` into the build folder for each kind. `table` is where `engine.ops` lies.
///
/// # Errors
/// Says which line is not understood, or which file cannot be read or written.
pub fn generate(table: &Path, kinds: &[(&str, Form)]) -> Result<(), String> {
    println!("cargo::rerun-if-changed={}", table.display());
    let text = fs::read_to_string(table).map_err(|why| format!("{}: {why}", table.display()))?;
    let rows = rows(&text)?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo did not give OUT_DIR")?);
    for (kind, form) in kinds {
        let rows: Vec<&Row<'_>> = rows.iter().filter(|it| it.kind == *kind).collect();
        let file = out.join(format!("{kind}.rs"));
        fs::write(&file, form.rust(&rows)).map_err(|why| format!("{}: {why}", file.display()))?;
    }
    Ok(())
}

struct Row<'a> {
    kind: &'a str,
    name: &'a str,
    /// What is behind the name: arguments and reply.
    shape: &'a str,
    docs: Vec<&'a str>,
}

fn rows(text: &str) -> Result<Vec<Row<'_>>, String> {
    let mut rows = Vec::new();
    let mut docs = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if let Some(doc) = line.strip_prefix("///") {
            docs.push(doc);
        } else if !line.is_empty() && !line.starts_with("//") {
            let row = line.strip_prefix("static ").unwrap_or(line);
            let (kind, row) = row
                .split_once(' ')
                .ok_or_else(|| format!("engine.ops, line {}: no row: {line}", at + 1))?;
            let name = row.split(['(', ' ']).next().unwrap_or_default();
            let shape = row[name.len()..].trim();
            let docs = std::mem::take(&mut docs);
            rows.push(Row {
                kind,
                name,
                shape,
                docs,
            });
        }
    }
    Ok(rows)
}

impl Form {
    fn rust(&self, rows: &[&Row<'_>]) -> String {
        let mut rust = String::new();
        if let Self::Enum(name) = self {
            let _ = writeln!(rust, "#[derive(Clone, Copy)]\n#[repr(u8)]");
            let _ = writeln!(rust, "pub(crate) enum {name} {{");
        }
        for (number, row) in rows.iter().enumerate() {
            for doc in &row.docs {
                let _ = writeln!(rust, "///{doc}");
            }
            if !row.shape.is_empty() {
                let _ = writeln!(rust, "///\n/// `{}`", row.shape);
            }
            let _ = match self {
                Self::Constants => {
                    let name = constant(row.name);
                    writeln!(rust, "pub(crate) const {name}: u8 = {number};")
                }
                Self::Enum(_) => writeln!(rust, "{} = {number},", row.name),
            };
        }
        if let Self::Enum(_) = self {
            rust.push('}');
        }
        rust
    }
}

/// `PathUp` as `PATH_UP`.
fn constant(name: &str) -> String {
    let mut constant = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !constant.is_empty() {
            constant.push('_');
        }
        constant.push(letter.to_ascii_uppercase());
    }
    constant
}
