//! The corpora of `fuzz/`, replayed without a fuzzer: what broke a parser once breaks it never again.

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

/// The names in a folder, without an ending.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let paths = entries.map(|entry| entry.unwrap().path());
    let stems = paths.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
    stems.collect()
}

#[test]
fn every_parser_takes_its_corpus() {
    for (target, _) in targets::TARGETS {
        let mut files = 0;
        for entry in fs::read_dir(folder().join("corpus").join(target)).expect("a corpus") {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            assert!(bytes.len() <= LONGEST, "{} is long", path.display());
            files += 1;
            // Which one it was is what people need to know.
            let done = std::panic::catch_unwind(|| targets::run(target, &bytes));
            assert!(done.is_ok(), "{} breaks a law of {target}", path.display());
        }
        assert!((1..=MOST).contains(&files), "{target} has {files} files");
    }
}

#[test]
fn every_target_has_a_program_and_a_corpus() {
    let targets: BTreeSet<_> = targets::TARGETS.map(|(name, _)| name.to_owned()).into();
    assert_eq!(names(&folder().join("corpus")), targets);
    assert_eq!(names(&folder().join("fuzz_targets")), targets);
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    for target in &targets {
        assert!(
            manifest.contains(&format!("[[bin]]\nname = \"{target}\"\n")),
            "{target}"
        );
        let program = folder()
            .join("fuzz_targets")
            .join(target)
            .with_extension("rs");
        let program = fs::read_to_string(program).unwrap();
        assert!(
            program.contains(&format!("peersox_fuzz::run(\"{target}\", bytes)")),
            "{target}"
        );
    }
}

/// Files are few and short, because the repository keeps them for ever.
const MOST: usize = 100;
const LONGEST: usize = 16 * 1024;
