//! Servers for ICE that peers are told of, and the file with the secret of the TURN servers among them.

use std::path::Path;

use crate::secret_file;

pub use crate::secret_file::SecretFileError;
pub use peersox_control::ice::{BadSecret, BadServerUrl, Mismatch, Secret, ServerUrl, Servers};

/// Reads the secret of the TURN servers (`static-auth-secret` of coturn) from a file of one line, to which
/// nobody but its owner has access.
///
/// # Errors
/// [`SecretFileError`] if it cannot be read, is open to others, or does not hold a secret.
pub fn read_secret(path: &Path) -> Result<Secret, SecretFileError> {
    let danger = "use the TURN server for ever";
    secret_file::read(path, "TURN secret", danger, |content| {
        Secret::parse(content).map_err(|error| error.to_string())
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_is_read_from_a_file_of_ones_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let read = |content: &str, mode| {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            read_secret(&path)
                .map(drop)
                .map_err(|error| error.to_string())
        };
        assert_eq!(read("north\n", 0o600), Ok(()));
        assert_eq!(read("north\n", 0o400), Ok(()));
        for (content, mode, why) in [
            ("north\n", 0o640, "chmod 600"),
            ("north\n", 0o604, "chmod 600"),
            ("\n", 0o600, "it is empty"),
            ("listening-port=3478\nrealm=x\n", 0o600, "several lines"),
        ] {
            // Writing needs what reading alone does not.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let error = read(content, mode).unwrap_err();
            assert!(error.contains(why), "{error}");
            assert!(error.contains("secret in /"), "{error}");
            assert!(!error.contains("north"), "{error}");
        }
        let missing = read_secret(&folder.path().join("missing")).unwrap_err();
        assert!(missing.to_string().contains("No such file"), "{missing}");
    }
}
