//! What a person has to know of an offer before the answer.

use super::{Entry, Kind, Offer};

/// The short form of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Paths of the first files, at most [`Summary::MAX_NAMES`]; of folders if there is no file.
    pub first: Vec<String>,
    /// How many files there are.
    pub files: u32,
    /// How many folders are listed.
    pub folders: u32,
    /// How many symbolic links there are.
    pub links: u32,
    /// Bytes of all files; none if the size of one is unknown.
    pub bytes: Option<u64>,
    /// What begins with a dot, up to the component that does.
    pub hidden: Named,
    /// Files that may be executed.
    pub executable: Named,
}

/// Some names, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// The first names, each once, at most [`Summary::MAX_NAMES`].
    pub names: Vec<String>,
    /// How many entries it is about.
    pub count: u32,
}

impl Summary {
    /// The most names that are spelled out of each list.
    pub const MAX_NAMES: usize = 5;
}

impl Named {
    fn add(&mut self, name: &str) {
        self.count = self.count.saturating_add(1);
        if self.names.len() < Summary::MAX_NAMES && self.names.iter().all(|it| it != name) {
            self.names.push(name.to_owned());
        }
    }
}

impl Offer {
    /// What a person has to know before the answer.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let files = self.files_from(0).count();
        let any = |entry: &&Entry| entry.kind == Kind::File || files == 0;
        let first = self.entries().iter().filter(any).take(Summary::MAX_NAMES);
        let mut hidden = Named::default();
        let mut executable = Named::default();
        let links = self.links().iter().map(|link| link.path());
        for path in self.entries().iter().map(|it| &it.path).chain(links) {
            if let Some(name) = up_to_the_dot(path.as_str()) {
                hidden.add(name);
            }
        }
        for (_, file) in self.files_from(0) {
            if file.executable || file.mode.is_some_and(|mode| mode & 0o111 != 0) {
                executable.add(file.path.as_str());
            }
        }
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Summary {
            first: first.map(|entry| entry.path.to_string()).collect(),
            files: count(files),
            folders: count(self.entries().len() - files),
            links: count(self.links().len()),
            bytes: self.total_bytes(),
            hidden,
            executable,
        }
    }
}

/// The path up to its first component that begins with a dot.
fn up_to_the_dot(path: &str) -> Option<&str> {
    let at = if path.starts_with('.') {
        0
    } else {
        path.find("/.")? + 1
    };
    let end = path[at..].find('/').map_or(path.len(), |end| at + end);
    Some(&path[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::{Limits, SafePath, TransferId};

    #[test]
    fn what_is_hidden_or_executable_is_named() {
        let entry = |path: &str, mode| Entry {
            path: SafePath::new(&path.split('/').collect::<Vec<_>>()).unwrap(),
            kind: Kind::File,
            size: Some(10),
            modified: None,
            executable: false,
            mode: Some(mode),
            data_bytes: None,
        };
        let mut entries: Vec<_> = (0..7)
            .map(|n| entry(&format!("x/{n}.jpg"), 0o644))
            .collect();
        entries.push(entry("x/.ssh/authorized_keys", 0o600));
        entries.push(entry("x/.ssh/config", 0o600));
        entries.push(entry(".bash_profile", 0o644));
        entries.push(entry("x/run.sh", 0o755));
        let id = TransferId::of(&entries);
        let offer = Offer::new(id, entries, &Limits::default()).unwrap();
        let summary = offer.summary();
        assert_eq!(
            summary.first,
            ["x/0.jpg", "x/1.jpg", "x/2.jpg", "x/3.jpg", "x/4.jpg"]
        );
        assert_eq!((summary.files, summary.bytes), (11, Some(110)));
        assert_eq!(summary.hidden.names, ["x/.ssh", ".bash_profile"]);
        assert_eq!(summary.hidden.count, 3);
        assert_eq!(summary.executable.names, ["x/run.sh"]);
    }
}
