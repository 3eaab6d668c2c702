//! Where received files go: partial files kept apart, put in place when all of it is verified.
//!
//! ```text
//! DIR/.peersox-part-<transfer id>/<entry number>     while it comes
//! DIR/<path of the entry>                            when everything is there
//! ```
//!
//! What is broken off stays in its partial files. The same transfer, started again, finds them by
//! its id, hashes them and goes on from there; the sender compares the hash. Nothing is called stored
//! before the disk has it: files and folders are synchronised first, many small ones together.

mod dirs;
mod folder;
mod names;
mod parts;
mod place;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use peersox_core::transfer::{Choice, Entry, Kind, Offer, Report};

use self::folder::Folder;
use crate::args::Receive;
use crate::failure::{self, Failure};
use crate::terminal::Voice;

/// Why something cannot be stored: for this side with its path, for the other side without.
#[derive(Debug)]
pub(crate) struct Unstorable {
    path: PathBuf,
    pub(super) why: String,
    /// There is no room for it.
    pub(super) is_room: bool,
    /// What ends the command, if it is no file here.
    failure: Option<Failure>,
}

impl fmt::Display for Unstorable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.as_os_str().is_empty() {
            write!(f, "cannot store {}: ", self.path.display())?;
        }
        f.write_str(&self.why)
    }
}

impl Unstorable {
    // Errors and texts alike.
    #[allow(clippy::needless_pass_by_value)]
    pub(super) fn new(path: impl Into<PathBuf>, why: impl ToString) -> Self {
        Self {
            path: path.into(),
            why: why.to_string(),
            is_room: false,
            failure: None,
        }
    }

    fn usage(why: &str) -> Self {
        Failure::Usage(why.to_owned()).into()
    }

    fn no_room(path: &Path, why: String) -> Self {
        Self {
            is_room: true,
            ..Self::new(path, why)
        }
    }
}

impl From<Failure> for Unstorable {
    fn from(failure: Failure) -> Self {
        let why = failure.to_string();
        Self {
            failure: Some(failure),
            ..Self::new("", why)
        }
    }
}

impl From<Unstorable> for anyhow::Error {
    fn from(it: Unstorable) -> Self {
        let text = it.to_string();
        it.failure.unwrap_or(Failure::File(text)).into()
    }
}

/// Takes the files of one offer.
pub(crate) enum Sink {
    Folder(Box<Folder>),
    /// Standard output: one file, and no second chance.
    Stdout,
}

impl Sink {
    /// Whether anything can be stored where the command line says, tried before a code is spent.
    pub(super) fn must_take_files(args: &Receive) -> Result<(), Failure> {
        if args.output == Path::new("-") || args.output.is_file() {
            return Ok(());
        }
        let here = Path::new(".");
        // What is not there yet is made once files are accepted.
        let there = args.output.ancestors().find(|it| it.exists());
        let there = there
            .filter(|it| !it.as_os_str().is_empty())
            .unwrap_or(here);
        let trial = there.join(format!(".peersox-trial-{}", std::process::id()));
        let tried = std::fs::create_dir(&trial).and_then(|()| std::fs::remove_dir(&trial));
        tried.map_err(|error| {
            let output = args.output.display();
            Failure::File(format!("cannot store anything in {output}: {error}"))
        })
    }

    /// Whether an offer can be stored at all, as far as can be told before anybody is asked: nothing is
    /// written.
    pub(super) fn check(args: &Receive, offer: &Offer) -> Result<(), Unstorable> {
        if args.output == Path::new("-") {
            if offer.files_from(0).count() != 1 || offer.entries().len() != 1 {
                let why = "standard output takes one file; name a folder with -o";
                return Err(Unstorable::usage(why));
            }
            return Ok(());
        }
        let (output, name) = target(args, offer);
        if output.exists() && !output.is_dir() {
            let why = "it is no folder; -o names a folder, --name the file in it";
            return Err(Unstorable::new(output, why));
        }
        if name.is_some() {
            let first = offer.entries().first().map_or("", |it| it.path.root());
            if offer.entries().iter().any(|it| it.path.root() != first) {
                let why = "--name is the name of one file or folder, and more are offered";
                return Err(Unstorable::usage(why));
            }
        }
        parts::check_room(&output, offer)
    }

    /// Prepares to receive into the folder of `args`, and says how to take each file.
    pub(super) fn open(
        args: &Receive,
        offer: &Offer,
        voice: Voice,
    ) -> Result<(Self, HashMap<u32, Choice>), Unstorable> {
        if args.output == Path::new("-") {
            return Ok((Self::Stdout, HashMap::new()));
        }
        let (output, name) = target(args, offer);
        let options = folder::Options {
            output: &output,
            overwrite: args.overwrite,
            name: name.as_deref(),
        };
        let (folder, choices) = Folder::open(&options, offer, voice)?;
        Ok((Self::Folder(Box::new(folder)), choices))
    }

    /// Writes a piece of a file. Runs of zeros become holes.
    pub(super) fn write(
        &mut self,
        entry: u32,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), Unstorable> {
        match self {
            Self::Folder(folder) => folder.write(entry, offset, bytes),
            Self::Stdout => output(bytes),
        }
    }

    /// Leaves a hole in a file.
    pub(super) fn hole(&mut self, entry: u32, offset: u64, length: u64) -> Result<(), Unstorable> {
        match self {
            Self::Folder(folder) => folder.hole(entry, offset),
            Self::Stdout => {
                let zeros = vec![0; 64 * 1024];
                let mut left = length;
                while left > 0 {
                    let now = usize::try_from(left).map_or(zeros.len(), |it| it.min(zeros.len()));
                    output(&zeros[..now])?;
                    left -= now as u64;
                }
                Ok(())
            }
        }
    }

    /// A file is complete and verified.
    pub(super) fn finish(&mut self, entry: u32, size: u64) -> Result<(), Unstorable> {
        match self {
            Self::Folder(folder) => folder.finish(entry, size),
            Self::Stdout => {
                let flushed = std::io::stdout().lock().flush();
                Ok(flushed.map_err(failure::stdout)?)
            }
        }
    }

    /// Drops what came of a file that its sender cannot read.
    pub(super) fn drop_file(&mut self, entry: u32) -> Result<(), Unstorable> {
        match self {
            Self::Folder(folder) => folder.drop_file(entry),
            Self::Stdout => Ok(()),
        }
    }

    /// What came stays for this command itself, which goes on with it: nothing is said of it.
    pub(super) fn goes_on(&mut self) {
        if let Self::Folder(folder) = self {
            folder.goes_on = true;
        }
    }

    /// Puts everything in place and makes sure that the disk has it. Says what differs from the offer.
    pub(super) fn store(&mut self, offer: &Offer) -> Result<Report, Unstorable> {
        match self {
            Self::Folder(folder) => place::store(folder, offer),
            Self::Stdout => Ok(Report::default()),
        }
    }
}

/// The folder that is received into, and the name there if it is not that of the offer. `-o` names the
/// folder; but `-o new.txt` names the file if one file is offered, `.txt` or without an extension as a
/// stream is, and no folder of that name is there.
fn target(args: &Receive, offer: &Offer) -> (PathBuf, Option<String>) {
    let output = &args.output;
    let [file] = offer.entries() else {
        return (output.clone(), args.name.clone());
    };
    let is_file = file.kind == Kind::File && file.path.components().count() == 1;
    let extension = output.extension();
    let offered = Path::new(file.path.name()).extension();
    let fits = extension.is_some() && (offered == extension || offered.is_none());
    let is_free = !output.exists() || (args.overwrite && output.is_file());
    let is_open = output.to_str().is_some_and(|it| !it.ends_with('/'));
    let name = output.file_name().and_then(OsStr::to_str);
    match (name, output.parent()) {
        (Some(name), Some(folder))
            if args.name.is_none() && is_file && fits && is_free && is_open =>
        {
            let here = folder.as_os_str().is_empty();
            let folder = if here { Path::new(".") } else { folder };
            (folder.to_owned(), Some(name.to_owned()))
        }
        _ => (output.clone(), args.name.clone()),
    }
}

fn output(bytes: &[u8]) -> Result<(), Unstorable> {
    let written = std::io::stdout().lock().write_all(bytes);
    Ok(written.map_err(failure::stdout)?)
}

/// Bytes that a file takes on the disk, as far as the offer tells.
fn bytes_of(entry: &Entry) -> u64 {
    let size = entry.size.unwrap_or(0);
    entry.data_bytes.map_or(size, |data| data.min(size))
}

#[cfg(test)]
mod tests;
