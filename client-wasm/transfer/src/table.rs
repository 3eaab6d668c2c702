//! Offers and progress as text and numbers, each in one piece. No number is −1. The other side is in
//! `js/src/transfer`: `machines.ts`, `outgoing.ts` for what is given, `transfer.ts` for what is shown.

use peersox_core::time::Timestamp;
use peersox_core::transfer::{Entry, Kind, Names, Offer, Progress, SafePath};

/// The paths in the order of their numbers with NUL between them, which no path has in it.
pub(crate) fn paths(offer: &Offer) -> String {
    let mut paths = String::new();
    for entry in offer.entries() {
        if !paths.is_empty() {
            paths.push('\0');
        }
        paths.push_str(entry.path.as_str());
    }
    paths
}

/// Bytes of all files, then for each entry: whether it is a directory, its size, when it was modified,
/// whether it may be executed.
pub(crate) fn numbers(offer: &Offer) -> Vec<f64> {
    let mut numbers = vec![from_option(offer.total_bytes())];
    for entry in offer.entries() {
        numbers.push(f64::from(u8::from(entry.kind == Kind::Directory)));
        numbers.push(from_option(entry.size));
        numbers.push(from_option(entry.modified.map(Timestamp::as_millis)));
        let is_program = entry.kind == Kind::File
            && (entry.executable || entry.mode.is_some_and(|mode| mode & 0o111 != 0));
        numbers.push(f64::from(u8::from(is_program)));
    }
    numbers
}

/// Entries out of names with a NUL after each, and for each entry: how many names its path has,
/// whether it is a directory, its size, when it was modified.
pub(crate) fn entries(names: &str, numbers: &[f64]) -> Result<Vec<Entry>, String> {
    let mut names = names.split_terminator('\0');
    let mut entries = Vec::with_capacity(numbers.len() / 4);
    for row in numbers.chunks_exact(4) {
        let depth = to_option(row[0]).unwrap_or_default();
        let depth = usize::try_from(depth).unwrap_or(usize::MAX);
        let path: Vec<&str> = names.by_ref().take(depth).collect();
        entries.push(Entry {
            // The receiver makes them harmless on its system.
            path: SafePath::on(Names::Unix, &path).map_err(|error| error.to_string())?,
            kind: if row[1] == 0.0 {
                Kind::File
            } else {
                Kind::Directory
            },
            size: to_option(row[2]),
            modified: to_option(row[3]).map(Timestamp::from_millis),
            executable: false,
            mode: None,
            data_bytes: None,
        });
    }
    Ok(entries)
}

/// The file at work; files that are complete, files to transfer; bytes that are there, bytes to
/// transfer, and those of the former that were there before.
pub(crate) fn progress(progress: &Progress) -> Vec<f64> {
    vec![
        from_option(progress.entry.map(u64::from)),
        f64::from(progress.files_done),
        f64::from(progress.files_total),
        number(progress.bytes_done),
        from_option(progress.bytes_total),
        number(progress.bytes_resumed),
    ]
}

/// JavaScript counts to 2^53, which is more than any file has.
#[allow(clippy::cast_precision_loss)]
pub(crate) const fn number(number: u64) -> f64 {
    number as f64
}

/// A number, or −1.
fn from_option(value: Option<u64>) -> f64 {
    value.map_or(-1.0, number)
}

/// The other way round; whole numbers up to 2^53 stay what they are.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn to_option(number: f64) -> Option<u64> {
    (number >= 0.0).then_some(number as u64)
}
