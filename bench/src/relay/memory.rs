//! What a pair takes of a relay's memory: resident memory with all pairs, less that with the first of them.
//!
//! After a warm-up a relay has done what it does after somebody came; after a turn every buffer on the way to
//! a peer that does not read is full.

use std::time::Instant;

use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use super::Options;
use super::ends::{Pair, frame};
use super::join::Joiners;
use crate::cpu;
use crate::failure::{At as _, Failure};

/// Pairs that are connected and do nothing.
pub(super) async fn idle(
    joiners: &mut Joiners,
    options: &Options,
    pids: &[u32],
) -> Result<Map<String, Value>, Failure> {
    // What a relay makes once is there with its first pair.
    let first = joiners.pairs(1).await?;
    tokio::time::sleep(options.warm_up).await;
    let before = cpu::resident(pids);
    let (count, begin) = (options.pairs as usize, Instant::now());
    let pairs = joiners.pairs(count).await?;
    let seconds = begin.elapsed().as_secs_f64();
    tokio::time::sleep(options.warm_up).await;
    let after = cpu::resident(pids);
    let busy = cpu::exact(pids);
    tokio::time::sleep(options.turn).await;
    let busy = cpu::exact(pids) - busy;
    drop((first, pairs));
    let mut told = told(before, after, count);
    told.insert("seconds".into(), seconds.into());
    told.insert("idle_cpu".into(), busy.into());
    Ok(told)
}

/// Pairs of which one sends until nothing more is taken, and the other one does not read.
pub(super) async fn stalled(
    joiners: &mut Joiners,
    options: &Options,
    pids: &[u32],
) -> Result<Map<String, Value>, Failure> {
    let first = joiners.pairs(1).await?;
    tokio::time::sleep(options.warm_up).await;
    let before = cpu::resident(pids);
    let count = options.pairs as usize;
    let frame = frame(options.size as usize);
    let mut sending = JoinSet::<Result<(), Failure>>::new();
    let mut silent = Vec::new();
    for Pair { mut one, two } in joiners.pairs(count).await? {
        silent.push(two);
        let mut bytes = Vec::new();
        one.sender.put(&frame, &mut bytes);
        let mut notices = one.receiver;
        sending.spawn_local(async move {
            loop {
                notices.count().await.at("receive")?;
            }
        });
        sending.spawn_local(async move {
            loop {
                one.sender.write(&bytes).await.at("send")?;
                tokio::task::yield_now().await;
            }
        });
    }
    let ended = tokio::time::timeout(options.turn, sending.join_next()).await;
    if let Ok(Some(Ok(Err(failure)))) = ended {
        return Err(failure);
    }
    let after = cpu::resident(pids);
    drop((first, silent, sending));
    Ok(told(before, after, count))
}

fn told(before: u64, after: u64, pairs: usize) -> Map<String, Value> {
    let each = (after as f64 - before as f64) / pairs as f64;
    let told = json!({
        "before_kib": before,
        "after_kib": after,
        "kib_each": each,
    });
    match told {
        Value::Object(told) => told,
        _ => Map::new(),
    }
}
