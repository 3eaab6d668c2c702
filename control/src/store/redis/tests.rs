//! Against real servers of Redis.

mod failures;

use std::collections::HashSet;
use std::time::Instant;

use futures_util::StreamExt as _;
use peersox_core::code::Digits;
use peersox_core::pairing::{Config, Event, Join, decide};
use peersox_test_redis as servers;
use tokio::task::JoinSet;

use super::*;
use crate::store::contract::{self, CODE_TTL, START, Told, put};

async fn connect(url: &str) -> Redis {
    Redis::connect(url.parse().unwrap()).await.unwrap()
}

/// Waits until something is so, half a minute at most.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn is_back(store: &Redis) {
    until("Redis is back", async || store.census().await.ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_single_server_keeps_the_contract() {
    let redis = servers::Redis::start();
    let fresh = async |room| {
        redis.cli(&["flushall"]);
        Redis::with_room(redis.url().parse().unwrap(), room)
            .await
            .unwrap()
    };
    contract::check(async || fresh(Redis::DEFAULT_MAX).await).await;
    contract::check_full(async || fresh(3).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cluster_keeps_the_contract() {
    let cluster = servers::Cluster::start();
    let fresh = async || {
        for at in cluster.masters() {
            cluster.servers[at].cli(&["flushall"]);
        }
        connect(&cluster.url()).await
    };
    contract::check(fresh).await;
}

/// What is written is under a key that expires, and shows no credential.
#[tokio::test]
async fn each_key_expires_and_none_holds_a_credential() {
    let redis = servers::Redis::start();
    let store = connect(&redis.url()).await;
    let (waiting, created) = contract::create(START);
    let (used, _) = contract::create(START);
    for pairing in [&waiting, &used] {
        store
            .commit(put(None, pairing.clone(), None), START)
            .await
            .unwrap();
    }
    let join = Join {
        nameplate: used.nameplate().unwrap().clone(),
        ephemeral: true,
        label: None,
    };
    let joined = contract::run(&store, &join, used.id()).await;

    let keys = redis.cli(&["keys", "*"]);
    let keys: Vec<_> = keys.lines().collect();
    // Two records, one nameplate, expiry, ids, spare, classes, and one class.
    assert_eq!(keys.len(), 8, "{keys:?}");
    let mut all = String::new();
    for key in &keys {
        let left: i64 = redis.cli(&["pttl", key]).parse().unwrap();
        // A key that has expired meanwhile answers -2.
        assert_ne!(left, -1, "{key} never expires");
        all += key;
        all += &match redis.cli(&["type", key]).as_str() {
            "hash" => redis.cli(&["hgetall", key]),
            "zset" => redis.cli(&["zrange", key, "0", "-1", "withscores"]),
            _ => redis.cli(&["get", key]),
        };
    }
    assert!(all.contains(&waiting.id().to_string()));
    for credential in [&created.credential, &joined.credential] {
        let secret = data_encoding::HEXLOWER.encode(&credential.to_bytes()[PairingId::LEN..]);
        assert!(!all.contains(&secret));
    }
}

/// Nothing stays of what nobody removes, whether or not Redis has noticed that it is over.
#[tokio::test]
async fn room_is_given_back_when_time_is_over() {
    let redis = servers::Redis::start();
    let store = Redis::with_room(redis.url().parse().unwrap(), 2)
        .await
        .unwrap();
    let full = |now| {
        put(
            None,
            contract::present(&contract::create(now).0, true, now),
            None,
        )
    };
    for expected in [Outcome::Committed, Outcome::Committed, Outcome::Full] {
        assert_eq!(store.commit(full(START), START).await.unwrap(), expected);
    }
    let later = START + CODE_TTL;
    let outcome = store.commit(full(later), later).await.unwrap();
    assert_eq!(outcome, Outcome::Committed, "what is over makes room");
    store.sweep(later + CODE_TTL).await.unwrap();
    let left = redis.cli(&["keys", "peersox:{0}:*"]);
    assert_eq!(left, "", "an empty index is no key");
}

#[tokio::test]
async fn what_one_server_does_the_watches_of_another_hear() {
    let redis = servers::Redis::start();
    let (one, two) = (connect(&redis.url()).await, connect(&redis.url()).await);
    let (pairing, _) = contract::create(START);
    let id = pairing.id();
    one.commit(put(None, pairing.clone(), None), START)
        .await
        .unwrap();
    let mut told = Told::watch(&two, id).await;
    let version = two.load(id, START).await.unwrap().unwrap().version;
    let join = put(
        Some(version),
        contract::joined(&pairing, START),
        Some(Event::Joined),
    );
    assert_eq!(one.commit(join, START).await.unwrap(), Outcome::Committed);
    let joined = two.load(id, START).await.unwrap().unwrap().version;
    told.expect(joined.number, Event::Joined).await;

    // Redis keeps the channel as long as somebody listens, and no longer.
    let listening = || redis.cli(&["pubsub", "channels"]).lines().count();
    assert_eq!(listening(), 1);
    drop(told);
    two.sweep(START).await.unwrap();
    until("the channel is given up", async || {
        (listening() == 0).then_some(())
    })
    .await;
}

/// A nameplate is claimed before its pairing is written, so that a server may die between the two, or after.
#[tokio::test]
async fn a_claim_without_a_pairing_that_waits_is_taken_over() {
    let redis = servers::Redis::start();
    let store = connect(&redis.url()).await;
    let (pairing, created) = contract::create(START);
    let nameplate = &created.nameplate;
    let key = keys::nameplate(nameplate);
    let stranger = "00112233445566778899aabbccddeeff";
    // About to be written, it may be. For how long a claim stands is what Redis knows of it.
    for (life, left, expected) in [
        ("130000", "125000", Outcome::NameplateTaken),
        ("130000", "119000", Outcome::Committed),
    ] {
        redis.cli(&["set", &key, &format!("{stranger} {life}"), "px", left]);
        let outcome = store
            .commit(put(None, pairing.clone(), None), START)
            .await
            .unwrap();
        assert_eq!(outcome, expected, "{left} ms left of {life}");
    }
    assert!(store.find(nameplate, START).await.unwrap().is_some());

    // A claim that a failover lost, or another one's nonsense: the pairing is not found by it, until it lives
    // longer.
    for lost in ["", "nonsense"] {
        redis.cli(&["del", &key]);
        if !lost.is_empty() {
            redis.cli(&["set", &key, lost]);
        }
        assert_eq!(store.find(nameplate, START).await.unwrap(), None);
        let stored = store.load(pairing.id(), START).await.unwrap().unwrap();
        let alive = Commit {
            expected: Some(stored.version),
            write: Write::Prolong(contract::alive(&stored.pairing, START)),
            event: None,
        };
        assert_eq!(
            store.commit(alive, START).await.unwrap(),
            Outcome::Committed
        );
        assert!(store.find(nameplate, START).await.unwrap().is_some());
    }
}

/// What was answered and lost cannot be mistaken for what was written in its place.
#[tokio::test]
async fn a_state_that_was_lost_is_no_state_of_another_history() {
    let redis = servers::Redis::start();
    let store = connect(&redis.url()).await;
    let (pairing, _) = contract::create(START);
    let id = pairing.id();
    let commit = put(None, pairing.clone(), None);
    store.commit(commit.clone(), START).await.unwrap();
    let lost = store.load(id, START).await.unwrap().unwrap().version;
    redis.cli(&["flushall"]);
    assert_eq!(store.load(id, START).await.unwrap(), None);
    store.commit(commit, START).await.unwrap();
    let other = store.load(id, START).await.unwrap().unwrap().version;
    assert_eq!(lost.number, other.number);
    let join = put(Some(lost), contract::joined(&pairing, START), None);
    assert_eq!(store.commit(join, START).await.unwrap(), Outcome::Conflict);
}

/// A server with a password, and one that is not there.
#[tokio::test]
async fn who_cannot_connect_is_told_why_without_the_password() {
    let redis = servers::Redis::with(&["--requirepass s3cret"]);
    let node = format!("127.0.0.1:{}", redis.port());
    let url: RedisUrl = format!("redis://{node}").parse().unwrap();
    assert!(Redis::connect(url.clone()).await.is_err());
    let url = url.with_password("wrong".to_owned().into());
    let said = Redis::connect(url.clone()).await.unwrap_err().to_string();
    assert!(said.contains(&node) && !said.contains("wrong"), "{said}");
    let url = url.with_password("s3cret".to_owned().into());
    assert!(Redis::connect(url).await.unwrap().is_ready());
    drop(redis);
    let said = Redis::connect(format!("redis://{node}").parse().unwrap()).await;
    assert!(said.unwrap_err().to_string().contains("refused"));
}

/// What docs/operations.md gives a user of its own is all that is needed.
#[tokio::test]
async fn a_user_needs_no_more_than_the_page_says() {
    let redis = servers::Redis::start();
    let page = include_str!("../../../../docs/operations.md");
    let (_, rest) = page.split_once("`ACL SETUSER NAME on >PASSWORD ").unwrap();
    let (rules, _) = rest.split_once('`').unwrap();
    let mut line = vec!["acl", "setuser", "peersox", "on", ">s3cret"];
    line.extend(rules.split(' '));
    assert_eq!(redis.cli(&line), "OK");
    let url: RedisUrl = format!("redis://peersox@127.0.0.1:{}", redis.port())
        .parse()
        .unwrap();
    let url = url.with_password("s3cret".to_owned().into());
    let waiting = url.clone().waiting_for(1).unwrap();
    drop(Redis::connect(waiting.clone()).await.unwrap());
    redis.cli(&["acl", "setuser", "peersox", "-wait"]);
    let refused = Redis::connect(waiting).await.unwrap_err().to_string();
    assert!(refused.contains("run the 'wait' command"), "{refused}");
    let store = Redis::connect(url).await.unwrap();
    let (pairing, created) = contract::create(START);
    store
        .commit(put(None, pairing.clone(), None), START)
        .await
        .unwrap();
    let mut told = Told::watch(&store, pairing.id()).await;
    let found = store
        .find(&created.nameplate, START)
        .await
        .unwrap()
        .unwrap();
    let remove = Commit {
        expected: Some(found.version),
        write: Write::Remove(pairing.id()),
        event: Some(Event::Revoked),
    };
    assert_eq!(
        store.commit(remove, START).await.unwrap(),
        Outcome::Committed
    );
    told.expect(found.version.number + 1, Event::Revoked).await;
    assert!(store.was_revoked(pairing.id()).await.unwrap());
    drop(told);
    store.sweep(START).await.unwrap();
    store.census().await.unwrap();
    store.list(None, 10, START).await.unwrap();
    let charge = Charge {
        budget: "test".to_owned(),
        cost: Duration::from_secs(1),
        most: Duration::from_secs(2),
    };
    for expected in [true, true, false] {
        let charged = store.charge(&charge).await.unwrap();
        assert_eq!(
            matches!(charged, Charged::Spent(_)),
            expected,
            "{charged:?}"
        );
    }
    store.refund(&charge).await;
    assert!(matches!(
        store.charge(&charge).await.unwrap(),
        Charged::Spent(_)
    ));
}

/// 200 devices on three nodes redeem one code at once, again and again: one of them gets it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_three_nodes_a_code_is_redeemed_once() {
    const ROUNDS: usize = 20;
    let redis = servers::Redis::start();
    let mut stores = Vec::new();
    for _ in 0..3 {
        stores.push(Arc::new(connect(&redis.url()).await));
    }
    for _ in 0..ROUNDS {
        let (pairing, created) = contract::create(START);
        stores[0]
            .commit(put(None, pairing, None), START)
            .await
            .unwrap();
        let mut tasks = JoinSet::new();
        for at in 0..200 {
            let store = Arc::clone(&stores[at % 3]);
            let nameplate = created.nameplate.clone();
            tasks.spawn(async move {
                let join = Join {
                    nameplate,
                    ephemeral: true,
                    label: None,
                };
                contract::redeem(&*store, &join).await.is_ok()
            });
        }
        let won = tasks
            .join_all()
            .await
            .into_iter()
            .filter(|won| *won)
            .count();
        assert_eq!(won, 1);
    }
}

/// Two nodes draw the same nameplate at once, again and again: no two codes that wait are the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_two_codes_that_wait_are_the_same() {
    let redis = servers::Redis::start();
    let mut stores = Vec::new();
    for _ in 0..3 {
        stores.push(Arc::new(connect(&redis.url()).await));
    }
    for round in 0..20 {
        let nameplate = Nameplate::random(Digits::default(), &mut OsRng);
        let mut tasks = JoinSet::new();
        for at in 0..30 {
            let store = Arc::clone(&stores[at % 3]);
            let pairing = contract::create_under(&nameplate, START);
            tasks.spawn(async move {
                let commit = put(None, pairing.clone(), None);
                (pairing.id(), store.commit(commit, START).await.unwrap())
            });
        }
        let won = tasks.join_all().await;
        let won = won
            .iter()
            .filter(|(_, outcome)| *outcome == Outcome::Committed);
        let won: Vec<_> = won.map(|(id, _)| *id).collect();
        let found = stores[0].find(&nameplate, START).await.unwrap().unwrap();
        assert_eq!(won, [found.pairing.id()], "round {round}");
    }
}
