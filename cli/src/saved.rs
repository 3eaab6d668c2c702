//! Saved devices: what a peer needs to come back to a pairing without a code.
//!
//! ```text
//! $PEERSOX_DEVICES, or $XDG_CONFIG_HOME/peersox/devices, or ~/.config/peersox/devices     0700
//!   laptop.json   { version, server, pairing, role, credential, secret }                   0600
//! ```
//!
//! A file is as good as the device itself: whoever reads it can pose as either peer, until the
//! pairing is revoked. One that others can read is therefore refused.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use peersox_client::{Pairing, Secured};
use peersox_core::id::PairingId;
use peersox_core::role::Role;
use peersox_core::secure::PairingSecret;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::failure::Failure;

/// A pairing as it was saved.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    pub(crate) server: String,
    pub(crate) pairing: Pairing,
    pub(crate) secret: PairingSecret,
}

/// The file's layout.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    server: String,
    pairing: PairingId,
    role: Role,
    credential: Zeroizing<String>,
    secret: Zeroizing<String>,
}

/// The name of a saved device: up to 64 letters, digits, `-`, `_` and dots, none in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(String);

impl std::str::FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.len() > 64 {
            return Err("a name has 1 to 64 characters".into());
        }
        if text.starts_with('.') || !text.chars().all(harmless) {
            return Err(
                "a name is made of letters, digits, `-`, `_` and dots, none in front".into(),
            );
        }
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The folder of the saved devices.
pub(crate) struct Devices(PathBuf);

impl Devices {
    /// Where this user's devices are.
    pub(crate) fn of_this_user() -> anyhow::Result<Self> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let folder = set("PEERSOX_DEVICES").map(PathBuf::from).or_else(|| {
            let config = set("XDG_CONFIG_HOME")
                .map(PathBuf::from)
                .or_else(|| Some(PathBuf::from(set("HOME")?).join(".config")));
            Some(config?.join("peersox/devices"))
        });
        folder.map(Self).ok_or_else(|| {
            let text = "there is no home folder to keep devices in; set PEERSOX_DEVICES";
            Failure::File(text.into()).into()
        })
    }

    /// Fails if a device of this name is saved already.
    pub(crate) fn must_be_free(&self, name: &Name) -> anyhow::Result<()> {
        match fs::symlink_metadata(self.file(name)) {
            Ok(_) => Err(Failure::File(format!(
                "a device called {name} is saved already; choose another name, or \
                 `peersox forget {name}` first"
            ))
            .into()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(unusable(&self.file(name), &error)),
        }
    }

    /// Saves a device, readable by this user only; never in place of another.
    pub(crate) fn save(
        &self,
        name: &Name,
        server: &str,
        pairing: &Pairing,
        secured: &Secured,
    ) -> anyhow::Result<()> {
        let stored = Stored {
            version: VERSION,
            server: server.to_owned(),
            pairing: pairing.id,
            role: pairing.role,
            credential: HEXLOWER.encode(&pairing.credential).into(),
            secret: HEXLOWER.encode(secured.secret.as_bytes()).into(),
        };
        let text = Zeroizing::new(serde_json::to_string_pretty(&stored)? + "\n");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .map_err(|error| unusable(&self.0, &error))?;
        // Written beside its place and linked there whole: a crash leaves no half of a secret under
        // the name, and a device that appeared meanwhile is not replaced.
        let (file, draft) = (
            self.file(name),
            self.0.join(format!(".{name}.{}", std::process::id())),
        );
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())
                    .and_then(|()| file.sync_all())
            })
            .and_then(|()| fs::hard_link(&draft, &file));
        let _ = fs::remove_file(&draft);
        match written {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => self.must_be_free(name),
            other => other.map_err(|error| unusable(&file, &error)),
        }
    }

    /// Loads a device.
    pub(crate) fn load(&self, name: &Name) -> anyhow::Result<Saved> {
        let path = self.file(name);
        let metadata = match fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Failure::File(format!(
                    "no device called {name} is saved; `peersox devices` lists them, \
                     `peersox pair --save {name}` makes one"
                ))
                .into());
            }
            other => other.map_err(|error| unusable(&path, &error))?,
        };
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(Failure::File(format!(
                "{} can be read by others, who could then pose as this device: \
                 forget it and pair again, or `chmod 600` it if nobody has read it",
                path.display()
            ))
            .into());
        }
        let text = fs::read_to_string(&path).map_err(|error| unusable(&path, &error))?;
        let text = Zeroizing::new(text);
        parse(&text).map_err(|why| {
            Failure::File(format!("{} is no saved device: {why}", path.display())).into()
        })
    }

    /// The names of all devices, in order.
    pub(crate) fn names(&self) -> anyhow::Result<Vec<Name>> {
        let list = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|error| unusable(&self.0, &error))?,
        };
        let mut names = Vec::new();
        for entry in list {
            let entry = entry.map_err(|error| unusable(&self.0, &error))?;
            let file = entry.file_name();
            let name = file.to_str().and_then(|file| file.strip_suffix(".json"));
            names.extend(name.and_then(|name| name.parse::<Name>().ok()));
        }
        names.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(names)
    }

    /// Forgets a device.
    pub(crate) fn remove(&self, name: &Name) -> anyhow::Result<()> {
        let file = self.file(name);
        fs::remove_file(&file).map_err(|error| unusable(&file, &error))
    }

    /// Where the files are.
    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    fn file(&self, name: &Name) -> PathBuf {
        self.0.join(format!("{name}.json"))
    }
}

fn parse(text: &str) -> Result<Saved, String> {
    let stored: Stored = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if stored.version != VERSION {
        return Err(format!(
            "it is of version {}, this program reads version {VERSION}",
            stored.version
        ));
    }
    let bytes = |hex: &str| {
        let bytes = HEXLOWER.decode(hex.as_bytes()).map(Zeroizing::new);
        bytes.map_err(|_| "a secret in it is not hexadecimal".to_owned())
    };
    let secret = bytes(&stored.secret)?;
    Ok(Saved {
        server: stored.server,
        pairing: Pairing::stored(
            stored.pairing,
            stored.role,
            bytes(&stored.credential)?.to_vec().into(),
        ),
        secret: PairingSecret::try_from(&secret[..]).map_err(|error| error.to_string())?,
    })
}

fn unusable(path: &Path, error: &std::io::Error) -> anyhow::Error {
    Failure::File(format!("cannot use {}: {error}", path.display())).into()
}

/// The version of the files.
const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_saved_for_this_user_only_and_comes_back() {
        let root = tempfile::tempdir().unwrap();
        let devices = Devices(root.path().join("a/b"));
        assert!(devices.names().unwrap().is_empty());
        let (name, pairing) = (name("laptop"), pairing());
        devices.must_be_free(&name).unwrap();
        devices
            .save(&name, "http://p.example", &pairing, &secured())
            .unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&devices.0), 0o700);
        assert_eq!(mode(&devices.file(&name)), 0o600);
        assert_eq!(fs::read_dir(&devices.0).unwrap().count(), 1, "no draft");

        let saved = devices.load(&name).unwrap();
        assert_eq!(saved.server, "http://p.example");
        assert_eq!(saved.secret, secured().secret);
        assert_eq!(saved.pairing.id, pairing.id);
        assert_eq!(saved.pairing.role, pairing.role);
        assert_eq!(saved.pairing.credential, pairing.credential);
        assert_eq!(devices.names().unwrap(), std::slice::from_ref(&name));

        for again in [
            devices.must_be_free(&name),
            devices.save(&name, "", &pairing, &secured()),
        ] {
            let error = again.unwrap_err().to_string();
            assert!(error.contains("saved already"), "{error}");
        }
        devices.remove(&name).unwrap();
        let error = devices.load(&name).unwrap_err().to_string();
        assert!(error.contains("peersox pair --save laptop"), "{error}");
    }

    #[test]
    fn what_others_can_read_or_is_no_device_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let (devices, name) = (Devices(root.path().to_owned()), name("laptop"));
        devices.save(&name, "", &pairing(), &secured()).unwrap();
        let file = devices.file(&name);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let error = devices.load(&name).unwrap_err().to_string();
        assert!(error.contains("read by others"), "{error}");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();

        let good = fs::read_to_string(&file).unwrap();
        for (from, to, why) in [
            ("\"version\": 1", "\"version\": 2", "version 2"),
            ("\"secret\": \"", "\"secret\": \"xy", "hexadecimal"),
            ("\"secret\": \"", "\"secret\": \"00", "32 bytes"),
            ("{", "", "expected"),
        ] {
            fs::write(&file, good.replacen(from, to, 1)).unwrap();
            let error = devices.load(&name).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn names_stay_inside_the_folder() {
        for bad in ["", ".", "..", ".hidden", "a/b", "a b", "ä", &"x".repeat(65)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
        for good in ["laptop", "my-phone_2.old"] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
    }

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn pairing() -> Pairing {
        Pairing::stored(
            PairingId::from_bytes([7; 16]),
            Role::Joiner,
            vec![8; 48].into(),
        )
    }

    fn secured() -> Secured {
        let secret = PairingSecret::from_bytes([9; 32]);
        Secured {
            phrase: secret.sas(),
            secret,
            agent: String::new(),
        }
    }
}
