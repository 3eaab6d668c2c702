//! What every store must keep to. A new store passes [`check`] or it is none.

mod guarded;
mod told;

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt as _;
use peersox_core::code::{Census, Digits, Lengths, Nameplate};
use peersox_core::id::PairingId;
use peersox_core::pairing::{
    Alive, Command, Config, Create, Created, Event, Find, Join, LetIn, Pairing, Present, Refuse,
    Reject, Write, decide,
};
use peersox_core::role::Role;
use peersox_core::time::Timestamp;
use rand_core::OsRng;

use super::{Commit, Notice, Outcome, Store, StoreError, Version};

pub(crate) use told::Told;

pub(crate) const START: Timestamp = Timestamp::from_millis(1_790_000_000_000);
pub(crate) const CODE_TTL: Duration = Duration::from_secs(130);

/// Runs every check on a store of its own.
pub(crate) async fn check<S: Store>(new: impl AsyncFn() -> S) {
    what_is_committed_is_found(&new().await).await;
    only_what_was_loaded_is_replaced(&new().await).await;
    a_nameplate_is_reserved_while_it_can_be_joined(&new().await).await;
    what_is_over_is_not_found(&new().await).await;
    those_who_watch_are_told_in_order(&new().await).await;
    what_lives_longer_is_found_longer(&new().await).await;
    those_who_wait_are_counted(&new().await).await;
    all_are_listed_in_order_and_in_pieces(&new().await).await;
    guarded::who_asks_is_kept_until_the_answer_and_all_are_told(&new().await).await;
    of_many_who_redeem_at_once_one_wins(new().await).await;
}

/// Runs the check of a full store, on one that has room for three pairings.
pub(crate) async fn check_full<S: Store>(three: impl AsyncFn() -> S) {
    what_is_worth_least_makes_room(&three().await).await;
}

pub(crate) fn create(now: Timestamp) -> (Pairing, Created) {
    create_on(now, 20, false)
}

fn create_on(now: Timestamp, secret_bits: u32, confirm: bool) -> (Pairing, Created) {
    let create = Create {
        digits: Digits::default(),
        secret_bits,
        ephemeral: true,
        confirm,
        account: None,
    };
    let decision = decide(&Config::default(), None, &create, now, &mut OsRng).unwrap();
    (written(decision.write), decision.reply)
}

fn written(write: Write) -> Pairing {
    match write {
        Write::Put(pairing) | Write::Prolong(pairing) => pairing,
        Write::Nothing | Write::Remove(_) => panic!("this stores a pairing"),
    }
}

/// Decides, and commits over what is stored.
pub(crate) async fn run<C: Command>(store: &impl Store, command: &C, id: PairingId) -> C::Reply {
    let stored = store.load(id, START).await.unwrap().expect("it is stored");
    let current = Some(&stored.pairing);
    let decision = decide(&Config::default(), current, command, START, &mut OsRng).unwrap();
    let commit = Commit {
        expected: Some(stored.version),
        write: decision.write,
        event: decision.event,
    };
    let outcome = store.commit(commit, START).await.unwrap();
    assert_eq!(outcome, Outcome::Committed);
    decision.reply
}

/// The same pairing after somebody attached, or left.
pub(crate) fn present(pairing: &Pairing, online: bool, now: Timestamp) -> Pairing {
    let present = Present {
        pairing: pairing.id(),
        role: Role::Initiator,
        online,
    };
    let decision = decide(&Config::default(), Some(pairing), &present, now, &mut OsRng);
    written(decision.unwrap().write)
}

/// The same pairing after a sign of life of its creator.
pub(crate) fn alive(pairing: &Pairing, now: Timestamp) -> Pairing {
    let alive = Alive {
        pairing: pairing.id(),
        role: Role::Initiator,
        seen: now,
        online: false,
        worn_out: Lengths::default(),
    };
    let decision = decide(&Config::default(), Some(pairing), &alive, now, &mut OsRng);
    match decision.unwrap().write {
        Write::Put(pairing) | Write::Prolong(pairing) => pairing,
        Write::Nothing => pairing.clone(),
        Write::Remove(_) => panic!("a sign of life removes nothing"),
    }
}

/// A pairing that waits under a given nameplate.
pub(crate) fn create_under(nameplate: &Nameplate, now: Timestamp) -> Pairing {
    let (pairing, created) = create(now);
    let json = format!("{:?}", nameplate.as_str());
    let original = format!("{:?}", created.nameplate.as_str());
    let text = serde_json::to_string(&pairing).unwrap();
    serde_json::from_str(&text.replace(&original, &json)).unwrap()
}

pub(crate) fn put(expected: Option<Version>, pairing: Pairing, event: Option<Event>) -> Commit {
    Commit {
        expected,
        write: Write::Put(pairing),
        event,
    }
}

pub(crate) fn joined(waiting: &Pairing, now: Timestamp) -> Pairing {
    let nameplate = waiting.nameplate().unwrap().clone();
    let join = Join {
        nameplate,
        ephemeral: true,
        label: None,
    };
    let decision = decide(&Config::default(), Some(waiting), &join, now, &mut OsRng);
    written(decision.unwrap().write)
}

/// The state that a pairing is in.
async fn version(store: &impl Store, id: PairingId) -> Version {
    let stored = store.load(id, START).await.unwrap();
    stored.expect("it is stored").version
}

async fn what_is_committed_is_found(store: &impl Store) {
    let (pairing, created) = create(START);
    assert_eq!(store.load(pairing.id(), START).await.unwrap(), None);
    let commit = put(None, pairing.clone(), None);
    assert_eq!(
        store.commit(commit, START).await.unwrap(),
        Outcome::Committed
    );
    let loaded = store.load(pairing.id(), START).await.unwrap().unwrap();
    assert_eq!(loaded.pairing, pairing);
    let found = store.find(&created.nameplate, START).await.unwrap();
    assert_eq!(found, Some(loaded));
}

async fn only_what_was_loaded_is_replaced(store: &impl Store) {
    let (pairing, _) = create(START);
    let id = pairing.id();
    let commit = put(None, pairing.clone(), None);
    let outcome = store.commit(commit.clone(), START).await.unwrap();
    assert_eq!(outcome, Outcome::Committed);
    let outcome = store.commit(commit, START).await.unwrap();
    assert_eq!(outcome, Outcome::Conflict, "it exists already");

    let loaded = version(store, id).await;
    let join = put(Some(loaded), joined(&pairing, START), None);
    assert_eq!(
        store.commit(join.clone(), START).await.unwrap(),
        Outcome::Committed
    );
    assert_eq!(store.commit(join, START).await.unwrap(), Outcome::Conflict);
    let next = version(store, id).await;

    let remove = |expected| Commit {
        expected: Some(expected),
        write: Write::Remove(id),
        event: None,
    };
    let outcome = store.commit(remove(loaded), START).await.unwrap();
    assert_eq!(outcome, Outcome::Conflict);
    let outcome = store.commit(remove(next), START).await.unwrap();
    assert_eq!(outcome, Outcome::Committed);
    assert_eq!(store.load(id, START).await.unwrap(), None);
    let outcome = store.commit(remove(next), START).await.unwrap();
    assert_eq!(outcome, Outcome::Conflict, "it is gone");
}

async fn a_nameplate_is_reserved_while_it_can_be_joined(store: &impl Store) {
    let (first, created) = create(START);
    let nameplate = created.nameplate;
    let again = |now| put(None, create_under(&nameplate, now), None);
    store
        .commit(put(None, first.clone(), None), START)
        .await
        .unwrap();
    let outcome = store.commit(again(START), START).await.unwrap();
    assert_eq!(outcome, Outcome::NameplateTaken);

    let join = put(
        Some(version(store, first.id()).await),
        joined(&first, START),
        None,
    );
    store.commit(join, START).await.unwrap();
    assert_eq!(store.find(&nameplate, START).await.unwrap(), None);
    let outcome = store.commit(again(START), START).await.unwrap();
    assert_eq!(outcome, Outcome::Committed, "joining frees it");
    let found = store.find(&nameplate, START).await.unwrap().unwrap();
    assert_ne!(found.pairing.id(), first.id());

    let later = START + CODE_TTL;
    let outcome = store.commit(again(later), later).await.unwrap();
    assert_eq!(outcome, Outcome::Committed, "expiring frees it");
    let found = store.find(&nameplate, later).await.unwrap().unwrap();
    let remove = Commit {
        expected: Some(found.version),
        write: Write::Remove(found.pairing.id()),
        event: Some(Event::Revoked),
    };
    store.commit(remove, later).await.unwrap();
    let outcome = store.commit(again(later), later).await.unwrap();
    assert_eq!(outcome, Outcome::Committed, "removing frees it");
    assert!(store.load(first.id(), later).await.unwrap().is_some());
}

async fn what_is_over_is_not_found(store: &impl Store) {
    let (pairing, created) = create(START);
    store
        .commit(put(None, pairing.clone(), None), START)
        .await
        .unwrap();
    let last = START + (CODE_TTL - Duration::from_millis(1));
    assert!(store.load(pairing.id(), last).await.unwrap().is_some());
    assert!(
        store
            .find(&created.nameplate, last)
            .await
            .unwrap()
            .is_some()
    );
    let over = START + CODE_TTL;
    let known = version(store, pairing.id()).await;
    for _ in 0..2 {
        assert_eq!(store.load(pairing.id(), over).await.unwrap(), None);
        assert_eq!(store.find(&created.nameplate, over).await.unwrap(), None);
        store.sweep(over).await.unwrap();
    }
    let late = put(Some(known), joined(&pairing, START), None);
    assert_eq!(store.commit(late, over).await.unwrap(), Outcome::Conflict);
}

async fn those_who_watch_are_told_in_order(store: &impl Store) {
    let (pairing, _) = create(START);
    let id = pairing.id();
    store
        .commit(put(None, pairing.clone(), None), START)
        .await
        .unwrap();
    let mut one = Told::watch(store, id).await;
    let mut two = Told::watch(store, id).await;
    let mut other = store.watch(create(START).0.id()).await.unwrap();

    let after = joined(&pairing, START);
    let first = version(store, id).await;
    let commit = put(Some(first), after.clone(), Some(Event::Joined));
    store.commit(commit.clone(), START).await.unwrap();
    let outcome = store.commit(commit, START).await.unwrap();
    assert_eq!(outcome, Outcome::Conflict, "and no event");
    let second = version(store, id).await;
    store
        .commit(put(Some(second), after, None), START)
        .await
        .unwrap();
    let third = version(store, id).await;
    assert_eq!([first, second, third].map(|it| it.number), [1, 2, 3]);
    let remove = Commit {
        expected: Some(third),
        write: Write::Remove(id),
        event: Some(Event::Revoked),
    };
    store.commit(remove, START).await.unwrap();
    for told in [&mut one, &mut two] {
        told.expect(second.number, Event::Joined).await;
        told.expect(4, Event::Revoked).await;
    }
    let other = futures_util::poll!(other.next());
    let is_told = matches!(other, Poll::Ready(Some(Notice::Happened(..))));
    assert!(!is_told, "what happens to others is not told");
}

async fn what_lives_longer_is_found_longer(store: &impl Store) {
    let (pairing, created) = create(START);
    let id = pairing.id();
    let commit = put(None, pairing.clone(), None);
    store.commit(commit, START).await.unwrap();
    let half = START + CODE_TTL / 2;
    let longer = Commit {
        expected: Some(version(store, id).await),
        write: Write::Prolong(alive(&pairing, half)),
        event: None,
    };
    let outcome = store.commit(longer.clone(), half).await.unwrap();
    assert_eq!(outcome, Outcome::Committed);
    let outcome = store.commit(longer, half).await.unwrap();
    assert_eq!(outcome, Outcome::Conflict);
    let over = START + CODE_TTL;
    store.sweep(over).await.unwrap();
    assert!(store.load(id, over).await.unwrap().is_some());
    let found = store.find(&created.nameplate, over).await.unwrap();
    assert!(found.is_some());
    assert_eq!(store.load(id, half + CODE_TTL).await.unwrap(), None);
}

async fn those_who_wait_are_counted(store: &impl Store) {
    let mut expected = Census::default();
    assert_eq!(store.census().await.unwrap(), expected);
    for bits in [0, 10, 20, 20] {
        let (pairing, _) = create_on(START, bits, false);
        store.commit(put(None, pairing, None), START).await.unwrap();
        expected.add(Digits::default(), bits);
    }
    let (used, _) = create_on(START, 0, false);
    let used = put(None, joined(&used, START), None);
    store.commit(used, START).await.unwrap();
    assert_eq!(store.census().await.unwrap(), expected);
    store.sweep(START + CODE_TTL).await.unwrap();
    assert_eq!(store.census().await.unwrap(), Census::default());
}

async fn all_are_listed_in_order_and_in_pieces(store: &impl Store) {
    let mut expected = Vec::new();
    for at in 0..7 {
        let (waiting, _) = create(START);
        let pairing = match at % 2 {
            0 => joined(&waiting, START),
            _ => waiting,
        };
        let commit = put(None, pairing.clone(), None);
        store.commit(commit, START).await.unwrap();
        expected.push(pairing);
    }
    expected.sort_by_key(Pairing::id);
    for most in [1, 3, 7, 100] {
        let mut listed: Vec<Pairing> = Vec::new();
        loop {
            let after = listed.last().map(Pairing::id);
            let piece = store.list(after, most, START).await.unwrap();
            assert!(piece.len() <= most);
            let full = piece.len() == most;
            listed.extend(piece.into_iter().map(|stored| stored.pairing));
            if !full {
                break;
            }
        }
        assert_eq!(listed, expected, "{most} at a time");
    }
    // Codes are over before joined pairings are, whether or not they were swept.
    let later = store.list(None, 100, START + CODE_TTL).await.unwrap();
    assert_eq!(later.len(), 4);
    assert!(later.iter().all(|stored| stored.pairing.is_joined()));
}

/// Those that nobody ever attached to go first, then those that are over; others never.
async fn what_is_worth_least_makes_room(store: &impl Store) {
    let commit = async |pairing: &Pairing| {
        let commit = put(None, pairing.clone(), None);
        store.commit(commit, START).await.unwrap()
    };
    let is_there = async |pairing: &Pairing| {
        let loaded = store.load(pairing.id(), START).await.unwrap();
        loaded.is_some()
    };
    let (wanted, _) = create(START);
    let wanted = present(&wanted, true, START);
    let (over, _) = create(START);
    let over = joined(&present(&over, true, START), START);
    let over = present(&over, false, START);
    let (unused, _) = create(START);
    let unused = joined(&unused, START);
    for pairing in [&wanted, &over, &unused] {
        assert_eq!(commit(pairing).await, Outcome::Committed);
    }
    let mut watched = store.watch(unused.id()).await.unwrap();
    let mut codes = Vec::new();
    for gone in [&unused, &over] {
        let (code, created) = create(START);
        let code = present(&code, true, START);
        assert!(is_there(gone).await);
        assert_eq!(commit(&code).await, Outcome::Committed);
        assert!(!is_there(gone).await);
        assert!(is_there(&wanted).await);
        let found = store.find(&created.nameplate, START).await.unwrap();
        assert!(found.is_some());
        codes.push(code);
    }
    assert_eq!(watched.next().await, Some(Notice::Resync));
    let (late, _) = create(START);
    assert_eq!(commit(&late).await, Outcome::Full, "all are wanted");
    // A code whose creator never attached makes room for the next, and frees its nameplate.
    let remove = Commit {
        expected: Some(version(store, wanted.id()).await),
        write: Write::Remove(wanted.id()),
        event: Some(Event::Revoked),
    };
    store.commit(remove, START).await.unwrap();
    let (unattended, created) = create(START);
    assert_eq!(commit(&unattended).await, Outcome::Committed);
    assert_eq!(commit(&late).await, Outcome::Committed);
    assert!(!is_there(&unattended).await);
    let found = store.find(&created.nameplate, START).await.unwrap();
    assert_eq!(found, None);
    for code in codes {
        assert!(is_there(&code).await);
    }
}

async fn of_many_who_redeem_at_once_one_wins(store: impl Store) {
    const MANY: usize = 200;
    let store = Arc::new(store);
    let (pairing, created) = create(START);
    store.commit(put(None, pairing, None), START).await.unwrap();
    let barrier = Arc::new(tokio::sync::Barrier::new(MANY));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..MANY {
        let (store, barrier) = (Arc::clone(&store), Arc::clone(&barrier));
        let nameplate = created.nameplate.clone();
        tasks.spawn(async move {
            barrier.wait().await;
            let join = Join {
                nameplate,
                ephemeral: true,
                label: None,
            };
            redeem(&*store, &join).await
        });
    }
    let results = tasks.join_all().await;
    let won = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(won, 1);
    assert!(
        results
            .iter()
            .flat_map(|result| result.as_ref().err())
            .all(|reject| { *reject == Reject::CodeNotFound })
    );
}

/// As [`try_redeem`], of a store that does not fail.
pub(crate) async fn redeem<C: Command>(store: &impl Store, join: &C) -> Result<C::Reply, Reject> {
    try_redeem(store, join).await.unwrap()
}

/// Loads, decides and commits until it is decided.
pub(crate) async fn try_redeem<C: Command>(
    store: &impl Store,
    join: &C,
) -> Result<Result<C::Reply, Reject>, StoreError> {
    loop {
        let Find::ByNameplate(nameplate) = join.find() else {
            panic!("a join finds by nameplate");
        };
        let stored = store.find(nameplate, START).await?;
        // Lets the others load the same state.
        tokio::task::yield_now().await;
        let current = stored.as_ref().map(|stored| &stored.pairing);
        let decision = decide(&Config::default(), current, join, START, &mut OsRng);
        let decision = match decision {
            Ok(decision) => decision,
            Err(reject) => return Ok(Err(reject)),
        };
        let commit = Commit {
            expected: stored.map(|stored| stored.version),
            write: decision.write,
            event: decision.event,
        };
        if store.commit(commit, START).await? == Outcome::Committed {
            return Ok(Ok(decision.reply));
        }
    }
}
