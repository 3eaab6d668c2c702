//! What happens to Redis, and to those who use it meanwhile.

use super::*;

/// Redis is stopped, killed, started anew without its memory, and full: calls fail in time, who watches
/// hears what it has missed, and all goes on by itself.
#[tokio::test]
async fn it_recovers_from_whatever_happens_to_redis() {
    let mut redis = servers::Redis::start();
    let (store, other) = (connect(&redis.url()).await, connect(&redis.url()).await);
    let (pairing, _) = contract::create(START);
    let id = pairing.id();
    store
        .commit(put(None, pairing.clone(), None), START)
        .await
        .unwrap();
    let mut notices = store.watch(id).await.unwrap();
    let resync = async |notices: &mut BoxStream<'static, Notice>| {
        while notices.next().await != Some(Notice::Resync) {}
    };

    redis.pause();
    assert!(store.load(id, START).await.is_err());
    until("it knows", async || (!store.is_ready()).then_some(())).await;
    let refused = store.load(id, START).await.unwrap_err();
    assert!(refused.0.contains("no connection"), "{refused}");
    redis.resume();
    is_back(&store).await;
    resync(&mut notices).await;
    assert!(store.is_ready());

    redis.kill();
    until("it knows", async || store.load(id, START).await.err()).await;
    redis.restart();
    is_back(&store).await;
    is_back(&other).await;
    resync(&mut notices).await;
    let stored = store
        .load(id, START)
        .await
        .unwrap()
        .expect("its disk has it");
    let join = put(
        Some(stored.version),
        contract::joined(&pairing, START),
        Some(Event::Joined),
    );
    assert_eq!(other.commit(join, START).await.unwrap(), Outcome::Committed);
    let is_joined = |notice| matches!(notice, Some(Notice::Happened(_, Event::Joined)));
    while !is_joined(notices.next().await) {}

    redis.cli(&["config", "set", "maxmemory", "1"]);
    let (another, _) = contract::create(START);
    let full = store
        .commit(put(None, another.clone(), None), START)
        .await
        .unwrap_err();
    assert!(full.0.contains("OOM"), "{full}");
    assert!(
        store.load(id, START).await.unwrap().is_some(),
        "reading goes on"
    );
    redis.cli(&["config", "set", "maxmemory", "0"]);
    let outcome = store.commit(put(None, another, None), START).await.unwrap();
    assert_eq!(outcome, Outcome::Committed);

    redis.cli(&["script", "flush"]);
    let (third, _) = contract::create(START);
    let outcome = store.commit(put(None, third, None), START).await.unwrap();
    assert_eq!(outcome, Outcome::Committed);
}

/// The master is killed while devices redeem codes: the replica takes over, and no code is redeemed twice
/// for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_failover_by_sentinels_is_found_out_and_gives_no_code_to_two() {
    let mut watched = servers::Watched::start();
    let store = Arc::new(connect(&watched.url()).await);
    let mut codes = Vec::new();
    for _ in 0..200 {
        let (pairing, created) = contract::create(START);
        store
            .commit(put(None, pairing.clone(), None), START)
            .await
            .unwrap();
        codes.push((pairing.id(), created.nameplate));
    }
    let mut tasks = JoinSet::new();
    for at in 0..400 {
        let (store, (id, nameplate)) = (Arc::clone(&store), codes[at % 200].clone());
        tasks.spawn(async move {
            let join = Join {
                nameplate,
                ephemeral: true,
                label: None,
            };
            let start = Instant::now();
            // Who is told that Redis is away calls again, as devices do.
            while start.elapsed() < Duration::from_secs(30) {
                match contract::try_redeem(&*store, &join).await {
                    Ok(Ok(joined)) => return Some((id, joined.credential)),
                    Ok(Err(_)) => return None,
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
            panic!("the replica did not take over");
        });
        if at == 200 {
            watched.servers[0].kill();
        }
    }
    let won: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(watched.master(), 1);
    let mut opened = HashSet::new();
    for (id, credential) in won {
        let stored = store.load(id, START).await.unwrap();
        let current = stored.as_ref().map(|stored| &stored.pairing);
        let admit = peersox_core::pairing::Admit { credential };
        if decide(&Config::default(), current, &admit, START, &mut OsRng).is_ok() {
            assert!(
                opened.insert(id),
                "two devices hold a credential of one code"
            );
        }
    }
    assert!(opened.len() > 100, "{}", opened.len());
    // The old master comes back, and is not written to.
    watched.servers[0].restart();
    let (pairing, _) = contract::create(START);
    let outcome = store
        .commit(put(None, pairing.clone(), None), START)
        .await
        .unwrap();
    assert_eq!(outcome, Outcome::Committed);
    assert_eq!(watched.master(), 1);
    assert!(store.load(pairing.id(), START).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cluster_that_loses_a_master_goes_on() {
    let mut cluster = servers::Cluster::start();
    let store = connect(&cluster.url()).await;
    let mut pairings = Vec::new();
    for _ in 0..30 {
        let (pairing, _) = contract::create(START);
        store
            .commit(put(None, pairing.clone(), None), START)
            .await
            .unwrap();
        pairings.push(pairing);
    }
    let mut watches = Vec::new();
    for pairing in &pairings {
        watches.push(store.watch(pairing.id()).await.unwrap());
    }
    let lost = cluster.masters().next().unwrap();
    cluster.servers[lost].kill();
    for (pairing, notices) in pairings.iter().zip(&mut watches) {
        let id = pairing.id();
        // Replication lags: the last writes before the end of the master may be gone.
        let found = until("the replica has taken over", async || {
            store.load(id, START).await.ok()
        })
        .await;
        let Some(stored) = found else {
            continue;
        };
        let join = || {
            put(
                Some(stored.version),
                contract::joined(pairing, START),
                Some(Event::Joined),
            )
        };
        let outcome = until("it can be written to", async || {
            store.commit(join(), START).await.ok()
        })
        .await;
        // An answer may have been lost, and the commit not.
        assert!(
            matches!(outcome, Outcome::Committed | Outcome::Conflict),
            "{outcome:?}"
        );
        let heard = tokio::time::timeout(Duration::from_secs(30), notices.next()).await;
        assert!(heard.unwrap().is_some());
    }
}

/// The operator wants writes to be on a replica. One that does not answer fails writes, in time, and nothing
/// else.
#[tokio::test]
async fn a_write_waits_for_the_replicas_that_it_has_to() {
    let master = servers::Redis::start();
    let following = format!("--replicaof 127.0.0.1 {}", master.port());
    let replica = servers::Redis::with(&[&following]);
    let url: RedisUrl = master.url().parse().unwrap();
    let store = Redis::connect(url.waiting_for(1).unwrap()).await.unwrap();
    let create = async || {
        let (pairing, _) = contract::create(START);
        let id = pairing.id();
        let commit = put(None, pairing, None);
        (id, store.commit(commit, START).await)
    };
    until("the replica follows", async || create().await.1.ok()).await;
    // What was answered is there.
    for _ in 0..20 {
        let (id, outcome) = create().await;
        assert_eq!(outcome.unwrap(), Outcome::Committed);
        let found = replica.cli(&["--raw", "keys", &format!("*{id}*")]);
        assert!(found.contains(&id.to_string()), "{found}");
    }
    replica.pause();
    let (id, outcome) = create().await;
    let refused = outcome.unwrap_err().0;
    assert!(refused.starts_with("0 of 1 replicas"), "{refused}");
    assert!(store.is_ready());
    let stored = store.load(id, START).await.unwrap();
    // The master has it, and a use of it does not wait.
    let stored = stored.expect("it was written");
    let prolong = Commit {
        expected: Some(stored.version),
        write: Write::Prolong(stored.pairing),
        event: None,
    };
    let outcome = store.commit(prolong, START).await.unwrap();
    assert_eq!(outcome, Outcome::Committed);
    replica.resume();
    until("the replica is back", async || create().await.1.ok()).await;

    let cluster: RedisUrl = "redis+cluster://127.0.0.1".parse().unwrap();
    assert_eq!(
        cluster.waiting_for(1).err(),
        Some(BadRedisUrl::WaitInCluster)
    );
}
