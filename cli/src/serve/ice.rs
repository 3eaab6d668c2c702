//! Which servers for ICE peers are told, from the command line and the file with the TURN secret.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use peersox_control::ice::{Mismatch, Secret, Servers};
use zeroize::Zeroizing;

use crate::args::Serve;
use crate::failure::Failure;

pub(super) fn servers(args: &Serve) -> Result<Servers, Failure> {
    let secret = args.turn_secret_file.as_deref().map(secret).transpose()?;
    let lifetime = Duration::from_secs(args.turn_lifetime);
    Servers::new(args.ice_server.clone(), secret, lifetime).map_err(|error| {
        Failure::Usage(match error {
            Mismatch::NoSecret(url) => format!(
                "no browser uses {url} without a password; write the secret that coturn has as \
                 static-auth-secret (with use-auth-secret) to a file and say --turn-secret-file FILE"
            ),
            Mismatch::NoTurn => "--turn-secret-file is for TURN servers; name one with \
                                 --ice-server turn:HOST"
                .to_owned(),
        })
    })
}

/// Reads a file that only its owner can.
fn secret(path: &Path) -> Result<Secret, Failure> {
    let unusable = |why: &dyn std::fmt::Display| {
        Failure::File(format!(
            "cannot use the TURN secret in {}: {why}",
            path.display()
        ))
    };
    let mut file = File::open(path).map_err(|error| unusable(&error))?;
    let metadata = file.metadata().map_err(|error| unusable(&error))?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(unusable(
            &"others than its owner have access to it, and whoever reads it can use the TURN server \
              for ever; `chmod 600` takes it away",
        ));
    }
    let mut content = Zeroizing::new(Vec::new());
    file.read_to_end(&mut content)
        .map_err(|error| unusable(&error))?;
    Secret::parse(&content).map_err(|error| unusable(&error))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_secret_is_read_from_a_file_of_ones_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let read = |content: &str, mode| {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            secret(&path).map(drop).map_err(|error| error.to_string())
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
        let missing = secret(&folder.path().join("missing")).unwrap_err();
        assert!(missing.to_string().contains("No such file"), "{missing}");
    }
}
