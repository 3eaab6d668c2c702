//! Names from the other side, made harmless.
//!
//! | component | on Unix | everywhere |
//! |---|---|---|
//! | empty, `.`, `..`, with `/` or NUL; > 64 of them; > 4,096 bytes in all | [`PathError`] | the same |
//! | `< > : " \ \| ? *`, control characters, characters that reorder or hide text | kept | `_` each |
//! | dots and spaces at the end | kept | `_` each |
//! | a device of Windows (`CON`, `nul.txt`, `COM1`, …) | kept | `_` in front |
//! | longer than 255 bytes | cut, `~` and 8 hex digits of its BLAKE3, its extension | the same |
//!
//! What cannot be the name of a file anywhere is an attack or a defect and refused. A name that is
//! good on the system of the receiver stays as it is ([`Names`]); whoever shows a name escapes what
//! could play with a terminal. A safe path made safe again is the same path.

use std::cmp::Ordering;

/// Which names are kept as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// Those that Unix can store: all without `/` and NUL.
    Unix,
    /// Only those that are harmless on every common system.
    #[default]
    Everywhere,
}

/// A path below some directory: one to 64 components, each the name of a file on the system that
/// [`Names`] says.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SafePath(Box<str>);

impl SafePath {
    /// The most components of a path.
    pub const MAX_DEPTH: usize = 64;
    /// The most bytes of a component.
    pub const MAX_COMPONENT_BYTES: usize = 255;
    /// The most bytes of a path, separators included.
    pub const MAX_BYTES: usize = 4_096;

    /// Makes the components of a path harmless on every common system.
    ///
    /// # Errors
    /// [`PathError`] for what can only be meant to lead elsewhere, and what is too deep or long.
    pub fn new<S: AsRef<str>>(components: &[S]) -> Result<Self, PathError> {
        Self::on(Names::Everywhere, components)
    }

    /// Makes the components of a path harmless on the systems that `names` says.
    ///
    /// # Errors
    /// As [`SafePath::new`].
    pub fn on<S: AsRef<str>>(names: Names, components: &[S]) -> Result<Self, PathError> {
        if components.is_empty() {
            return Err(PathError::Empty);
        }
        if components.len() > Self::MAX_DEPTH {
            return Err(PathError::TooDeep(components.len()));
        }
        let mut path = String::new();
        for component in components {
            let component = component.as_ref();
            match component {
                "" => return Err(PathError::EmptyComponent),
                "." | ".." => return Err(PathError::Relative),
                _ if component.contains(['/', '\0']) => return Err(PathError::Separator),
                _ => {}
            }
            if !path.is_empty() {
                path.push('/');
            }
            match names {
                Names::Unix if component.len() <= Self::MAX_COMPONENT_BYTES => {
                    path.push_str(component);
                }
                Names::Unix => path.push_str(&shortened(component)),
                Names::Everywhere => path.push_str(&harmless(component)),
            }
            if path.len() > Self::MAX_BYTES {
                return Err(PathError::TooLong);
            }
        }
        Ok(Self(path.into_boxed_str()))
    }

    /// Its components, at least one.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// Its last component.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&*self.0, |(_, name)| name)
    }

    /// Its first component.
    #[must_use]
    pub fn root(&self) -> &str {
        self.0.split_once('/').map_or(&*self.0, |(root, _)| root)
    }

    /// Its components joined by `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// An order in which everything below a path follows that path at once.
    pub(super) fn cmp_from_above(&self, other: &Self) -> Ordering {
        // A separator before all else: by bytes alone `a b` would come between `a` and `a/b`.
        let rank = |byte: u8| if byte == b'/' { 0 } else { byte };
        self.0.bytes().map(rank).cmp(other.0.bytes().map(rank))
    }

    /// Whether it is within a directory, however deep.
    pub(super) fn is_below(&self, directory: &Self) -> bool {
        let rest = self.0.strip_prefix(&*directory.0);
        rest.is_some_and(|rest| rest.starts_with('/'))
    }
}

/// Replaces what is not a good name everywhere. The component is neither empty nor relative, and
/// holds no separator.
fn harmless(component: &str) -> String {
    let mut name: String = component
        .chars()
        .map(|c| if is_harmful(c) { '_' } else { c })
        .collect();
    let kept = name.trim_end_matches(['.', ' ']).len();
    let tail = name.len() - kept;
    name.truncate(kept);
    name.extend(std::iter::repeat_n('_', tail));
    if is_device(&name) {
        name.insert(0, '_');
    }
    if name.len() > SafePath::MAX_COMPONENT_BYTES {
        name = shortened(&name);
    }
    name
}

fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '<' | '>' | ':' | '"' | '\\' | '|' | '?' | '*')
        // Marks, embeddings, overrides and isolates of the bidirectional algorithm, zero-width
        // characters, line and paragraph separators: they make a name look like another.
        || matches!(c, '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// Whether Windows takes the name for a device, whatever its extension.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end_matches(' ');
    if ["con", "prn", "aux", "nul", "conin$", "conout$"]
        .iter()
        .any(|device| stem.eq_ignore_ascii_case(device))
    {
        return true;
    }
    let mut chars = stem.chars();
    let number = chars.next_back();
    let port = chars.as_str();
    (port.eq_ignore_ascii_case("com") || port.eq_ignore_ascii_case("lpt"))
        && matches!(number, Some('0'..='9' | '¹' | '²' | '³'))
}

/// Cuts a long name, keeping a short extension and telling names with the same beginning apart.
fn shortened(name: &str) -> String {
    const MAX_EXTENSION_BYTES: usize = 16;
    let hash = blake3::hash(name.as_bytes()).to_hex();
    let extension = name
        .rfind('.')
        .map(|at| &name[at..])
        .filter(|extension| extension.len() <= MAX_EXTENSION_BYTES)
        .unwrap_or("");
    let mut kept = SafePath::MAX_COMPONENT_BYTES - "~".len() - 8 - extension.len();
    while !name.is_char_boundary(kept) {
        kept -= 1;
    }
    format!("{}~{}{extension}", &name[..kept], &hash[..8])
}

impl std::fmt::Display for SafePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Debug for SafePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Why components are no path below a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// No component.
    #[error("a path needs at least one component")]
    Empty,
    /// A component without a character, as an absolute path has.
    #[error("a path has an empty component")]
    EmptyComponent,
    /// `.` or `..`.
    #[error("a path has a component `.` or `..`")]
    Relative,
    /// `/` or NUL within a component.
    #[error("a component of a path has a separator or NUL in it")]
    Separator,
    /// More components than [`SafePath::MAX_DEPTH`].
    #[error("a path is {0} components deep; {max} are allowed", max = SafePath::MAX_DEPTH)]
    TooDeep(usize),
    /// More bytes than [`SafePath::MAX_BYTES`].
    #[error("a path is longer than {} bytes", SafePath::MAX_BYTES)]
    TooLong,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_become_harmless() {
        for (name, expected) in [
            ("plan.txt", "plan.txt"),
            (".env", ".env"),
            ("Überblick 雪.pdf", "Überblick 雪.pdf"),
            ("a:b\\c|d?.txt", "a_b_c_d_.txt"),
            ("C:", "C_"),
            ("line\nbreak\u{7f}\u{85}", "line_break__"),
            ("photo\u{202e}gpj.exe", "photo_gpj.exe"),
            ("dots...", "dots___"),
            ("...", "___"),
            (" . ", "___"),
            ("nul", "_nul"),
            ("Con.tar.gz", "_Con.tar.gz"),
            ("aux .txt", "_aux .txt"),
            ("com1.log", "_com1.log"),
            ("LPT²", "_LPT²"),
            ("com", "com"),
            ("com10", "com10"),
            ("console", "console"),
        ] {
            assert_eq!(SafePath::new(&[name]).unwrap().as_str(), expected);
        }
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        for (components, expected) in [
            (vec![], PathError::Empty),
            (vec![""], PathError::EmptyComponent),
            (vec!["", "etc", "passwd"], PathError::EmptyComponent),
            (vec!["a", ".."], PathError::Relative),
            (vec![".", "a"], PathError::Relative),
            (vec!["../a"], PathError::Separator),
            (vec!["a\0b"], PathError::Separator),
            (vec!["a"; 65], PathError::TooDeep(65)),
            (vec![&*"a".repeat(255); 17], PathError::TooLong),
        ] {
            assert_eq!(SafePath::new(&components), Err(expected), "{components:?}");
        }
    }

    #[test]
    fn long_names_stay_apart_and_keep_their_extension() {
        let [one, two] = ["1", "2"].map(|end| {
            let name = format!("{}{end}.tar", "ü".repeat(200));
            SafePath::new(&[name]).unwrap()
        });
        assert_ne!(one, two);
        assert!(one.as_str().ends_with(".tar") && one.as_str().len() <= 255);
    }

    #[test]
    fn unix_keeps_every_name_that_it_can_store() {
        let kept = [
            "a:b",
            "*star",
            "x.",
            "nul",
            "a b ",
            "tab\tand\u{1b}[1A",
            "\u{202e}gpj",
        ];
        for name in kept {
            let path = SafePath::on(Names::Unix, &["d", name]).unwrap();
            assert_eq!(path.name(), name);
        }
        let long = SafePath::on(Names::Unix, &["a:".repeat(200)]).unwrap();
        assert!(long.as_str().len() <= 255 && long.as_str().contains('~'));
        for bad in [vec![".."], vec!["."], vec![""], vec!["a/b"], vec!["a\0b"]] {
            assert!(SafePath::on(Names::Unix, &bad).is_err(), "{bad:?}");
        }
    }

    fn component() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            Just("..".to_owned()),
            Just("nul".to_owned()),
            Just("COM1".to_owned()),
            Just("\\".to_owned()),
            Just(". ".to_owned()),
            "[a-zA-Z.: ~_]{0,8}",
            "\\PC{0,4}",
            any::<char>().prop_map(String::from),
            (0..90_usize).prop_map(|n| "雪".repeat(n)),
        ];
        prop::collection::vec(part, 0..5).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn a_safe_path_is_safe_and_stays_itself(components in prop::collection::vec(component(), 0..6)) {
            let Ok(path) = SafePath::new(&components) else { return Ok(()) };
            prop_assert_eq!(path.components().count(), components.len());
            for name in path.components() {
                prop_assert!(!name.is_empty() && name.len() <= SafePath::MAX_COMPONENT_BYTES);
                prop_assert!(name != "." && name != "..");
                prop_assert!(!name.contains(['/', '\\', '\0', ':']) && !name.ends_with(['.', ' ']));
                prop_assert!(!name.chars().any(char::is_control) && !is_device(name));
            }
            let native = std::path::Path::new(path.as_str());
            prop_assert!(native.components().all(|c| matches!(c, std::path::Component::Normal(_))));
            let again: Vec<_> = path.components().map(str::to_owned).collect();
            prop_assert_eq!(SafePath::new(&again).unwrap(), path);
        }
    }
}
