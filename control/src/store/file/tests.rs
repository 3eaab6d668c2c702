use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use peersox_core::pairing::{Config, Present, Worth};
use peersox_core::role::Role;
use redb::TableDefinition;
use tempfile::TempDir;

use super::*;
use crate::store::Version;
use crate::store::contract::{self, CODE_TTL, START, put};

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

async fn open(folder: &TempDir) -> Result<File, OpenError> {
    open_at(folder, START).await
}

async fn open_at(folder: &TempDir, now: Timestamp) -> Result<File, OpenError> {
    File::open(folder.path().join("state"), &Config::default(), now).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn file_keeps_the_contract() {
    let folder = folder();
    let count = std::cell::Cell::new(0);
    contract::check(async || {
        count.set(count.get() + 1);
        let path = folder.path().join(count.get().to_string());
        File::open(path, &Config::default(), START).await.unwrap()
    })
    .await;
}

#[tokio::test]
async fn a_full_file_keeps_the_contract() {
    let folder = folder();
    let count = std::cell::Cell::new(0);
    contract::check_full(async || {
        count.set(count.get() + 1);
        let path = folder.path().join(count.get().to_string());
        let config = Config::default();
        File::with_room(path, &config, START, 3).await.unwrap()
    })
    .await;
}

/// A server that does not know the table leaves it as it was.
#[tokio::test]
async fn who_would_be_missed_is_found_anew_when_the_file_is_opened() {
    let folder = folder();
    let store = open(&folder).await.unwrap();
    let (pairing, _) = contract::create(START);
    let commit = put(None, contract::joined(&pairing, START), None);
    store.commit(commit, START).await.unwrap();
    drop(store);
    edit(&folder.path().join("state"), |transaction| {
        let table = TableDefinition::<(u8, u64, &[u8; 16]), ()>::new("spare");
        assert!(transaction.delete_table(table).unwrap());
        let mut table = transaction.open_table(table).unwrap();
        table.insert((0, 1, &[7; 16]), ()).unwrap();
    });
    let path = folder.path().join("state");
    let config = Config::default();
    let store = File::with_room(path, &config, START, 1).await.unwrap();
    let transaction = store.database.begin_read().unwrap();
    assert_eq!(tables::count(&transaction).unwrap(), [1, 0, 1, 1]);
    let (next, _) = contract::create(START);
    let commit = put(None, next, None);
    let outcome = store.commit(commit, START).await.unwrap();
    assert_eq!(outcome, Outcome::Committed);
    assert_eq!(store.load(pairing.id(), START).await.unwrap(), None);
}

#[tokio::test]
async fn what_was_committed_is_there_when_the_file_is_opened_again() {
    let folder = folder();
    let store = open(&folder).await.unwrap();
    let secret = store.secret().clone();
    let (waiting, created) = contract::create(START);
    let (joined, _) = contract::create(START);
    let joined = contract::joined(&joined, START);
    for pairing in [&waiting, &joined] {
        let commit = put(None, pairing.clone(), None);
        store.commit(commit, START).await.unwrap();
    }
    let after = [
        store.load(waiting.id(), START).await.unwrap(),
        store.load(joined.id(), START).await.unwrap(),
    ];
    assert!(after.iter().all(Option::is_some));
    drop(store);

    let store = open(&folder).await.unwrap();
    assert_eq!(*store.secret(), secret);
    assert_ne!(**store.secret(), [0; 32]);
    let found = store.find(&created.nameplate, START).await.unwrap();
    assert_eq!(found, after[0]);
    assert_eq!(store.load(joined.id(), START).await.unwrap(), after[1]);
    let again = put(Some(Version::FIRST), joined, None);
    assert_eq!(
        store.commit(again, START).await.unwrap(),
        Outcome::Committed
    );
}

/// A copy of the file while it is open is what a killed process leaves behind.
#[tokio::test]
async fn what_was_answered_survives_a_kill() {
    let folder = folder();
    let killed = folder.path().join("killed");
    let store = open(&folder).await.unwrap();
    let (pairing, created) = contract::create(START);
    let mut expected = pairing.clone();
    for (version, pairing) in [(None, pairing.clone()), (Some(Version::FIRST), pairing)] {
        if version.is_some() {
            expected = contract::joined(&pairing, START);
        }
        let commit = put(version, expected.clone(), None);
        store.commit(commit, START).await.unwrap();
        fs::copy(folder.path().join("state"), &killed).unwrap();
        let left = File::open(&killed, &Config::default(), START)
            .await
            .unwrap();
        let loaded = left.load(pairing.id(), START).await.unwrap().unwrap();
        assert_eq!(loaded.pairing, expected);
        let found = left.find(&created.nameplate, START).await.unwrap();
        assert_eq!(found.is_some(), version.is_none());
        assert_eq!(left.secret(), store.secret());
    }
}

#[tokio::test]
async fn comings_and_goings_are_saved_by_a_sweep() {
    let folder = folder();
    let killed = folder.path().join("killed");
    let store = open(&folder).await.unwrap();
    let (waiting, _) = contract::create(START);
    let joined = contract::joined(&waiting, START);
    let used = contract::present(&joined, true, START + CODE_TTL / 2);
    let attached = Commit {
        expected: Some(Version::FIRST),
        write: Write::Prolong(used.clone()),
        event: None,
    };
    for commit in [put(None, joined, None), attached] {
        store.commit(commit, START).await.unwrap();
    }
    store.sweep(START).await.unwrap();
    fs::copy(folder.path().join("state"), &killed).unwrap();
    let left = File::open(&killed, &Config::default(), START)
        .await
        .unwrap();
    let loaded = left.load(waiting.id(), START).await.unwrap().unwrap();
    let expected = used.without_presence(&Config::default(), START);
    assert_eq!(loaded.pairing, expected);
}

#[tokio::test]
async fn nobody_is_attached_when_the_file_is_opened_again() {
    let folder = folder();
    let store = open(&folder).await.unwrap();
    let (pairing, _) = contract::create(START);
    let pairing = contract::joined(&pairing, START);
    let id = pairing.id();
    store.commit(put(None, pairing, None), START).await.unwrap();
    for role in Role::BOTH {
        let present = Present {
            pairing: id,
            role,
            online: true,
        };
        contract::run(&store, &present, id).await;
    }
    let before = store.load(id, START).await.unwrap().unwrap();
    assert_eq!(before.pairing.worth(), Worth::Wanted);
    drop(store);

    // Who was attached has time to come back, however long the server was away.
    let later = START + Duration::from_secs(3_600);
    let store = open_at(&folder, later).await.unwrap();
    let after = store.load(id, later).await.unwrap().unwrap();
    assert_eq!(after.pairing.worth(), Worth::Over);
    let back = later + Config::default().unkept_ttl;
    assert_eq!(after.pairing.expires_at(), back);
    store.sweep(later).await.unwrap();
    assert!(store.load(id, later).await.unwrap().is_some());
    assert!(after.version.is_news_to(before.version));
}

#[tokio::test]
async fn what_is_over_is_gone_after_a_sweep() {
    let store = open(&folder()).await.unwrap();
    let (pairing, _) = contract::create(START);
    let mut notices = store.watch(pairing.id()).await.unwrap();
    store.commit(put(None, pairing, None), START).await.unwrap();
    let rows = |store: &File| {
        let transaction = store.database.begin_read().unwrap();
        tables::count(&transaction).unwrap()
    };
    assert_eq!(rows(&store), [1, 1, 1, 1]);
    store.sweep(START + CODE_TTL).await.unwrap();
    assert_eq!(rows(&store), [0, 0, 0, 0]);
    assert_eq!(notices.next().await, Some(Notice::Resync));
    assert_eq!(notices.next().await, None);
}

#[tokio::test]
async fn the_file_is_bounded() {
    let folder = folder();
    let store = File::with_room(folder.path().join("state"), &Config::default(), START, 2)
        .await
        .unwrap();
    for expected in [Outcome::Committed, Outcome::Committed, Outcome::Full] {
        let created = contract::present(&contract::create(START).0, true, START);
        let created = put(None, created, None);
        assert_eq!(store.commit(created, START).await.unwrap(), expected);
    }
    let later = START + CODE_TTL;
    let created = put(None, contract::create(later).0, None);
    let outcome = store.commit(created, later).await.unwrap();
    assert_eq!(outcome, Outcome::Committed, "what is over makes room");
}

/// A disk that hangs takes no more threads, whether callers wait for it or give up.
#[tokio::test]
async fn reads_at_a_time_are_bounded() {
    let folder = folder();
    let store = Arc::new(open(&folder).await.unwrap());
    let disk = Arc::new(tokio::sync::RwLock::new(()));
    let begun = Arc::new(AtomicUsize::new(0));
    let read = || {
        let (store, disk, begun) = (Arc::clone(&store), Arc::clone(&disk), Arc::clone(&begun));
        async move {
            let look = move |_: &ReadTransaction| {
                begun.fetch_add(1, Ordering::SeqCst);
                drop(disk.blocking_read());
                Ok(())
            };
            store.read(look).await
        }
    };
    let hangs = disk.write().await;
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..2 * READERS {
        callers.spawn(read());
    }
    while begun.load(Ordering::SeqCst) < READERS {
        tokio::task::yield_now().await;
    }
    callers.shutdown().await;
    let late = tokio::time::timeout(Duration::from_millis(100), read()).await;
    assert!(late.is_err());
    assert_eq!(begun.load(Ordering::SeqCst), READERS);
    drop(hangs);
    read().await.unwrap();
}

#[tokio::test]
async fn only_the_owner_may_read_it() {
    let folder = folder();
    let _store = open(&folder).await.unwrap();
    let metadata = fs::metadata(folder.path().join("state")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_file_that_others_may_read_is_closed_to_them() {
    let folder = folder();
    drop(open(&folder).await.unwrap());
    let path = folder.path().join("state");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
    let _store = open(&folder).await.unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_file_serves_one_store_at_a_time() {
    let folder = folder();
    let store = open(&folder).await.unwrap();
    let error = open(&folder).await.unwrap_err();
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
    assert_says(&error, &folder.path().join("state"), "stop the other one");
    drop(store);
    assert!(open(&folder).await.is_ok());
}

#[tokio::test]
async fn a_foreign_file_is_refused_and_left_as_it_is() {
    let folder = folder();
    let path = folder.path().join("state");
    let noise: Vec<u8> = (0..100_000u32)
        .map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect();
    let rows: [&[u8]; 4] = [
        b"x",
        b"[server]\nlisten = 3000\n",
        b"SQLite format 3\0",
        &noise,
    ];
    for content in rows {
        fs::write(&path, content).unwrap();
        let error = File::open(&path, &Config::default(), START)
            .await
            .unwrap_err();
        assert!(matches!(error, OpenError::Foreign(_)), "{error:?}");
        assert_says(&error, &path, "name another file");
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    fs::remove_file(&path).unwrap();
    edit(&path, |transaction| {
        let table = TableDefinition::<&str, u64>::new("visits");
        let mut table = transaction.open_table(table).unwrap();
        table.insert("today", 1).unwrap();
    });
    let error = File::open(&path, &Config::default(), START)
        .await
        .unwrap_err();
    assert!(matches!(error, OpenError::Foreign(_)), "{error:?}");
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let folder = folder();
    drop(open(&folder).await.unwrap());
    let path = folder.path().join("state");
    edit(&path, |transaction| {
        let mut meta = transaction.open_table(tables::META).unwrap();
        let newer = 2u32.to_be_bytes();
        meta.insert("schema", newer.as_slice()).unwrap();
    });
    let error = File::open(&path, &Config::default(), START)
        .await
        .unwrap_err();
    assert!(
        matches!(error, OpenError::Newer { found: 2, .. }),
        "{error:?}"
    );
    assert_says(&error, &path, "newer PeerSox");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let path = Path::new("/nowhere/state");
    let error = File::open(path, &Config::default(), START)
        .await
        .unwrap_err();
    assert_says(&error, path, "No such file");
}

#[tokio::test]
async fn a_damaged_record_is_an_error_and_no_panic() {
    let folder = folder();
    let path = folder.path().join("state");
    let store = open(&folder).await.unwrap();
    let (pairing, created) = contract::create(START);
    let id = pairing.id();
    store
        .commit(put(None, pairing.clone(), None), START)
        .await
        .unwrap();
    let transaction = store.database.begin_write().unwrap();
    tables::damage(&transaction, id);
    transaction.commit().unwrap();

    assert!(store.load(id, START).await.is_err());
    assert!(store.find(&created.nameplate, START).await.is_err());
    let commit = put(Some(Version::FIRST), pairing, None);
    assert!(store.commit(commit, START).await.is_err());
    let other = put(None, contract::create(START).0, None);
    assert_eq!(
        store.commit(other, START).await.unwrap(),
        Outcome::Committed
    );
    drop(store);
    let error = File::open(&path, &Config::default(), START)
        .await
        .unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    assert_says(&error, &path, "backup");
}

#[tokio::test]
async fn a_flipped_bit_is_found_when_the_file_is_opened() {
    let folder = folder();
    let path = folder.path().join("state");
    let store = open(&folder).await.unwrap();
    let (pairing, created) = contract::create(START);
    store.commit(put(None, pairing, None), START).await.unwrap();
    drop(store);
    let mut bytes = fs::read(&path).unwrap();
    let digits = created.nameplate.as_str().as_bytes();
    let at = bytes.windows(digits.len()).position(|text| text == digits);
    bytes[at.unwrap()] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = File::open(&path, &Config::default(), START)
        .await
        .unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
}

fn edit(path: &Path, change: impl FnOnce(&redb::WriteTransaction)) {
    let database = Database::create(path).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&transaction);
    transaction.commit().unwrap();
}

#[track_caller]
fn assert_says(error: &OpenError, path: &Path, what: &str) {
    let text = error.to_string();
    assert!(text.contains(&path.display().to_string()), "{text}");
    assert!(text.contains(what), "{text}");
}
