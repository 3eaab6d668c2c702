//! Files with secrets, which nobody but their owner may read.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Reads a file to which nobody but its owner has access. `what` names the secret, and `danger` what somebody
/// else could do with it.
pub(crate) fn read<T>(
    path: &Path,
    what: &'static str,
    danger: &str,
    parse: impl FnOnce(&[u8]) -> Result<T, String>,
) -> Result<T, SecretFileError> {
    let unusable = |why: String| SecretFileError {
        what,
        path: path.to_owned(),
        why,
    };
    let failed = |error: std::io::Error| unusable(error.to_string());
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(unusable(format!(
            "others than its owner have access to it, and whoever reads it can {danger}; `chmod 600` \
             takes it away"
        )));
    }
    let mut content = Zeroizing::new(Vec::new());
    file.read_to_end(&mut content).map_err(failed)?;
    parse(&content).map_err(unusable)
}

/// Reads a password: one line, without what ends it.
pub(crate) fn password(content: &[u8]) -> Result<Zeroizing<String>, String> {
    let text = std::str::from_utf8(content).map_err(|_| "it is not UTF-8".to_owned())?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    match line {
        "" => Err("it is empty".to_owned()),
        _ if line.contains(['\n', '\r']) => {
            Err("it has several lines; the password has to be all that is in it".to_owned())
        }
        _ => Ok(Zeroizing::new(line.to_owned())),
    }
}

/// A file cannot be used as a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot use the {what} in {}: {why}", path.display())]
pub struct SecretFileError {
    what: &'static str,
    path: PathBuf,
    why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line() {
        for (content, expected) in [
            ("north", Ok("north")),
            ("north\n", Ok("north")),
            ("north west \r\n", Ok("north west ")),
            ("", Err("empty")),
            ("\n", Err("empty")),
            ("one\ntwo\n", Err("several lines")),
        ] {
            let read = password(content.as_bytes());
            match (&read, expected) {
                (Ok(read), Ok(expected)) => assert_eq!(read.as_str(), expected),
                (Err(why), Err(expected)) => assert!(why.contains(expected), "{why}"),
                _ => panic!("{content:?}"),
            }
        }
        assert!(password(b"\xff").is_err());
    }
}
