//! Under which names an offer is stored.
//!
//! A file system that tells all names of Unix apart takes them as they are. Another one is asked: each
//! path is made once, as an empty file or folder among the partial files, and what it refuses or takes
//! for another name gets a name of its own, before a byte is sent.

use std::collections::{HashMap, HashSet};
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use peersox_core::transfer::{Kind, Offer, Report, SafePath};
use serde_json::json;

use super::Unstorable;
use super::folder::Options;
use super::parts::Parts;
use crate::terminal::Voice;

/// Where the entries of an offer go, below the folder that is received into.
#[derive(Default)]
pub(super) struct Places {
    /// First components, where they have other names here.
    roots: HashMap<String, String>,
    /// Whole paths, where any component below the first has another name here.
    paths: HashMap<String, String>,
    /// What is to be told to the sender.
    pub(super) report: Report,
}

impl Places {
    pub(super) fn choose(
        options: &Options<'_>,
        offer: &Offer,
        parts: &Parts,
        voice: Voice,
    ) -> Result<Self, Unstorable> {
        let wrong = |error: io::Error| Unstorable::new(options.output, error);
        let mut judge = Judge::among(parts).map_err(wrong)?;
        let mut places = Self::default();
        let mut seen = HashSet::new();
        let links = offer.links().iter().map(|link| (link.path(), false));
        let entries = offer.entries().iter();
        let entries = entries.map(|entry| (&entry.path, entry.kind == Kind::Directory));
        for (path, is_folder) in entries.chain(links) {
            let root = path.root();
            if !seen.contains(root) {
                let is_folder = is_folder || path.as_str() != root;
                let place = free_root(options, root, is_folder, judge.as_mut()).map_err(wrong)?;
                seen.insert(root);
                places.root(root, place, options, voice);
            }
            if let Some(judge) = &mut judge {
                let stored = judge.place(path, is_folder, &places.roots).map_err(wrong)?;
                places.path(path, stored, voice);
            }
        }
        drop(judge);
        for (number, original) in offer.originals() {
            let from = crate::transfer::source::shown(original);
            if let Some(entry) = offer.entry(*number) {
                let to = places.of(&entry.path);
                let sentence = format!("{from}, as its sender calls it, is stored as {to}");
                voice.say(
                    &sentence,
                    &json!({"event": "renamed", "from": from, "to": to}),
                );
            }
        }
        Ok(places)
    }

    /// Where a path of the offer is stored; components joined by `/`.
    pub(super) fn of(&self, path: &SafePath) -> String {
        if let Some(stored) = self.paths.get(path.as_str()) {
            return stored.clone();
        }
        match self.roots.get(path.root()) {
            Some(root) => format!("{root}{}", &path.as_str()[path.root().len()..]),
            None => path.to_string(),
        }
    }

    /// The first components of what is stored.
    pub(super) fn roots<'a>(&'a self, offer: &'a Offer) -> Vec<&'a str> {
        let mut seen = HashSet::new();
        let roots = offer.entries().iter().map(|entry| entry.path.root());
        let roots = roots.filter(|root| seen.insert(*root));
        let stored = roots.map(|root| self.roots.get(root).map_or(root, String::as_str));
        stored.collect()
    }

    /// Says that something has another name here than in the offer.
    pub(super) fn renamed(&mut self, from: &str, to: &str, why: &str, voice: Voice) {
        self.report.stored_as(from, to);
        voice.say(
            &format!("{from} {why}; it is stored as {to}"),
            &json!({"event": "renamed", "from": from, "to": to}),
        );
    }

    fn root(&mut self, root: &str, place: String, options: &Options<'_>, voice: Voice) {
        if place == root {
            return;
        }
        if options.name == Some(&place) {
            self.roots.insert(root.to_owned(), place);
            return;
        }
        let shown = options.output.join(&place);
        self.report.stored_as(root, &place);
        voice.say(
            &format!("{root} is there already; saved as {}", shown.display()),
            &json!({"event": "renamed", "from": root, "to": shown}),
        );
        self.roots.insert(root.to_owned(), place);
    }

    fn path(&mut self, path: &SafePath, stored: String, voice: Voice) {
        let plain = self.of(path);
        if plain == stored {
            return;
        }
        let name = stored.rsplit('/').next().unwrap_or(&stored);
        if name != path.name() && path.as_str() != path.root() {
            let why = "cannot have this name here beside the others";
            self.renamed(path.as_str(), &stored, why, voice);
        }
        self.paths.insert(path.to_string(), stored);
    }
}

/// A name for a first component that nothing has yet, or the name itself if that may be replaced.
fn free_root(
    options: &Options<'_>,
    root: &str,
    is_folder: bool,
    mut judge: Option<&mut Judge>,
) -> io::Result<String> {
    let name = options.name.unwrap_or(root);
    for number in 0..10_000 {
        let candidate = numbered(name, number);
        let there = fs::symlink_metadata(options.output.join(&candidate)).is_ok();
        if there && !options.overwrite {
            continue;
        }
        let Some(judge) = &mut judge else {
            return Ok(candidate);
        };
        match judge.make(Path::new(""), &candidate, is_folder)? {
            Some(made) => return Ok(made),
            None => continue,
        }
    }
    Err(io::Error::other(format!(
        "{name} is there already, many times"
    )))
}

/// `name`, `name (1)`, `name (2)`, …, the number before an extension.
pub(super) fn numbered(name: &str, number: u32) -> String {
    if number == 0 {
        return name.to_owned();
    }
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => format!("{stem} ({number}).{extension}"),
        _ => format!("{name} ({number})"),
    }
}

/// Asks a file system that does not take all names, or does not tell all apart.
struct Judge {
    folder: PathBuf,
    /// Folders of the offer and where they are stored.
    folders: HashMap<String, String>,
    is_restricted: bool,
}

impl Judge {
    /// None if the file system takes each name as it is.
    fn among(parts: &Parts) -> io::Result<Option<Self>> {
        let folder = parts.path().join("names");
        fs::create_dir(&folder).or_else(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Ok(()),
            _ => Err(error),
        })?;
        let make = |name: &str| fs::write(folder.join(name), b"").is_ok();
        let is_there = |name: &str| fs::symlink_metadata(folder.join(name)).is_ok();
        let folds = make("pRobe") && is_there("PrOBE");
        let normalises = make("p\u{e9}") && is_there("pe\u{301}");
        let is_restricted = !make("p:*?") || (make("pp.") && is_there("pp"));
        fs::remove_dir_all(&folder)?;
        if !folds && !normalises && !is_restricted {
            return Ok(None);
        }
        fs::create_dir(&folder)?;
        Ok(Some(Self {
            folder,
            folders: HashMap::new(),
            is_restricted,
        }))
    }

    /// Makes a file or folder; gives its name, or none if it is taken.
    fn make(&self, above: &Path, name: &str, is_folder: bool) -> io::Result<Option<String>> {
        let harmless = SafePath::new(&[name]);
        let harmless = harmless.as_ref().map_or(name, SafePath::as_str);
        let candidates = [name, harmless];
        let first = usize::from(self.is_restricted);
        for (at, candidate) in candidates.iter().enumerate().skip(first) {
            let path = self.folder.join(above).join(candidate);
            let made = if is_folder {
                fs::create_dir(&path)
            } else {
                let mut options = OpenOptions::new();
                options.write(true).create_new(true).open(&path).map(|_| ())
            };
            match made {
                Ok(()) => return Ok(Some((*candidate).to_owned())),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
                Err(_) if at == 0 => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn place(
        &mut self,
        path: &SafePath,
        is_folder: bool,
        roots: &HashMap<String, String>,
    ) -> io::Result<String> {
        let Some((above, name)) = path.as_str().rsplit_once('/') else {
            let root = path.as_str();
            return Ok(roots.get(root).map_or(root, String::as_str).to_owned());
        };
        if is_folder {
            return self.folder(path.as_str(), roots);
        }
        let above = self.folder(above, roots)?;
        self.free(&above, name, false)
    }

    /// Where a folder is stored, with all above it.
    fn folder(&mut self, path: &str, roots: &HashMap<String, String>) -> io::Result<String> {
        if let Some(stored) = self.folders.get(path) {
            return Ok(stored.clone());
        }
        let stored = match path.rsplit_once('/') {
            Some((above, name)) => {
                let above = self.folder(above, roots)?;
                self.free(&above, name, true)?
            }
            None => roots.get(path).map_or(path, String::as_str).to_owned(),
        };
        self.folders.insert(path.to_owned(), stored.clone());
        Ok(stored)
    }

    fn free(&self, above: &str, name: &str, is_folder: bool) -> io::Result<String> {
        for number in 0..10_000 {
            let made = self.make(Path::new(above), &numbered(name, number), is_folder)?;
            if let Some(made) = made {
                return Ok(format!("{above}/{made}"));
            }
        }
        Err(io::Error::other(format!(
            "{name} is there already, many times"
        )))
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
