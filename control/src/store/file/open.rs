//! Whether a file is ours, and making one that is.

use std::fs::{OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use peersox_core::pairing::Config;
use peersox_core::time::Timestamp;
use rand_core::{OsRng, RngCore as _};
use redb::backends::FileBackend;
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase as _, StorageError, TableError,
    WriteTransaction,
};
use zeroize::Zeroizing;

use super::tables::{META, Tables};
use super::{StoreError, failed};

/// Why a file cannot be the store. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The system refused, or has no such folder.
    #[error("cannot use {} as the state file: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Others than its owner have access, and that cannot be taken away.
    #[error(
        "others have access to {}, which holds the key that signs tickets, and its mode cannot be changed \
         ({error}); make it 0600, or name another file",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Another process has it open.
    #[error(
        "{} is in use by another process; a state file serves one server at a time: stop the other \
         one, or name another file",
        .0.display()
    )]
    InUse(PathBuf),
    /// It holds something else.
    #[error(
        "{} is no state file of PeerSox and was left as it is; name another file, which is created \
         if it does not exist",
        .0.display()
    )]
    Foreign(PathBuf),
    /// A later version wrote it.
    #[error(
        "{} was written by a newer PeerSox (schema {found}; this one reads {SCHEMA}); run that \
         version, or name another file and pair all devices again",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u32,
    },
    /// It was ours, and does not read back as it was written.
    #[error(
        "{} is damaged ({why}); put a backup in its place, or move it away and pair all devices \
         again",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// The runtime stopped meanwhile, or opening panicked.
    #[error("opening the state file was broken off")]
    Interrupted,
}

/// Opens or creates a file and gives its secret. Blocks.
pub(super) fn open(
    path: &Path,
    config: &Config,
    now: Timestamp,
) -> Result<(Database, Zeroizing<[u8; 32]>), OpenError> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(OWNER_ONLY)
        .open(path);
    let file = opened.map_err(|error| unreadable(path, error))?;
    let metadata = file.metadata().map_err(|error| unreadable(path, error))?;
    if metadata.permissions().mode() & OTHERS != 0 {
        let owner_only = Permissions::from_mode(OWNER_ONLY);
        file.set_permissions(owner_only)
            .map_err(|error| OpenError::Exposed {
                path: path.to_owned(),
                error,
            })?;
        tracing::warn!(
            path = %path.display(),
            "others than its owner had access to the state file, which holds the key that signs \
             tickets; its mode is 0600 from now on; if somebody may have read it, remove it and pair anew"
        );
    }
    let database = FileBackend::new(file)
        .and_then(|file| {
            // What was altered behind the database's back is found now, not trusted later.
            Builder::new()
                .set_cache_size(CACHE)
                .set_check_integrity_on_open(true)
                .create_with_backend(file)
        })
        .map_err(|error| refused(path, error))?;

    if !is_fresh(&database).map_err(|error| damaged(path, error))? {
        check_schema(path, &database)?;
    }
    let secret = settle(&database, config, now).map_err(|error| damaged(path, error))?;
    Ok((database, secret))
}

/// A database that holds nothing: just created, or its creator was killed before it wrote.
fn is_fresh(database: &Database) -> Result<bool, StoreError> {
    let transaction = database.begin_read().map_err(failed)?;
    let mut tables = transaction.list_tables().map_err(failed)?;
    Ok(tables.next().is_none())
}

fn check_schema(path: &Path, database: &Database) -> Result<(), OpenError> {
    let transaction = database
        .begin_read()
        .map_err(|error| damaged(path, failed(error)))?;
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::Storage(error)) => return Err(damaged(path, failed(error))),
        // Another program's database.
        Err(_) => return Err(OpenError::Foreign(path.to_owned())),
    };
    let entry = meta
        .get(META_SCHEMA)
        .map_err(|error| damaged(path, failed(error)))?;
    let Some(Ok(schema)) = entry.map(|entry| entry.value().try_into()) else {
        return Err(OpenError::Foreign(path.to_owned()));
    };
    match u32::from_be_bytes(schema) {
        SCHEMA => Ok(()),
        found => Err(OpenError::Newer {
            path: path.to_owned(),
            found,
        }),
    }
}

/// Writes what a new file begins with, and clears in an old one what ended with its last process.
fn settle(
    database: &Database,
    config: &Config,
    now: Timestamp,
) -> Result<Zeroizing<[u8; 32]>, StoreError> {
    let transaction = database.begin_write().map_err(failed)?;
    Tables::open(&transaction)?.clear_presence(config, now)?;
    let secret = secret(&transaction)?;
    transaction.commit().map_err(failed)?;
    Ok(secret)
}

fn secret(transaction: &WriteTransaction) -> Result<Zeroizing<[u8; 32]>, StoreError> {
    let mut meta = transaction.open_table(META).map_err(failed)?;
    if let Some(stored) = redb::ReadableTable::get(&meta, META_SECRET).map_err(failed)? {
        let secret = stored.value().try_into().map(Zeroizing::new);
        return secret.map_err(|_| StoreError("its secret is not 32 bytes long".to_owned()));
    }
    let mut secret = Zeroizing::new([0; 32]);
    OsRng.fill_bytes(&mut *secret);
    meta.insert(META_SCHEMA, SCHEMA.to_be_bytes().as_slice())
        .map_err(failed)?;
    meta.insert(META_SECRET, secret.as_slice())
        .map_err(failed)?;
    Ok(secret)
}

/// Draws another secret and writes it. Blocks.
pub(super) fn renew_secret(database: &Database) -> Result<Zeroizing<[u8; 32]>, StoreError> {
    let transaction = database.begin_write().map_err(failed)?;
    let mut drawn = Zeroizing::new([0; 32]);
    OsRng.fill_bytes(&mut *drawn);
    let mut meta = transaction.open_table(META).map_err(failed)?;
    meta.insert(META_SECRET, drawn.as_slice()).map_err(failed)?;
    drop(meta);
    transaction.commit().map_err(failed)?;
    Ok(drawn)
}

fn refused(path: &Path, error: DatabaseError) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            OpenError::InUse(path.to_owned())
        }
        DatabaseError::Storage(StorageError::Io(error))
            if error.kind() == io::ErrorKind::InvalidData =>
        {
            OpenError::Foreign(path.to_owned())
        }
        DatabaseError::Storage(StorageError::Io(error)) => unreadable(path, error),
        // An older database format than any release of ours has written.
        DatabaseError::UpgradeRequired(_) => OpenError::Foreign(path.to_owned()),
        other => damaged(path, failed(other)),
    }
}

fn unreadable(path: &Path, error: io::Error) -> OpenError {
    OpenError::Unreadable {
        path: path.to_owned(),
        error,
    }
}

fn damaged(path: &Path, StoreError(why): StoreError) -> OpenError {
    OpenError::Damaged {
        path: path.to_owned(),
        why,
    }
}

const META_SCHEMA: &str = "schema";
const META_SECRET: &str = "secret";

/// Which tables there are and what they mean. Goes up when an older version could misread them.
pub(super) const SCHEMA: u32 = 1;

const OWNER_ONLY: u32 = 0o600;
const OTHERS: u32 = 0o077;

/// A hundred thousand pairings take some 60 MB, and few of them are in use at a time.
const CACHE: usize = 32 * 1024 * 1024;
