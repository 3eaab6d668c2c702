//! The load: each couple begins anew as soon as it is done.
//!
//! ```text
//!   connect ── warm up ── [ measured: until the time is over, or enough are made ] ── take back
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::args::{Options, Task};
use crate::couple::Couple;
use crate::cpu::{self, Process};
use crate::failure::Failure;
use crate::report::Report;

/// What couples did while it was measured.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// How long each took, in microseconds.
    pub(crate) took: Vec<u64>,
    /// How often what went wrong.
    pub(crate) failures: BTreeMap<Failure, u64>,
}

/// Measures, and takes back what was made.
///
/// # Errors
/// If a couple cannot connect or warm up, or a process cannot be looked at.
pub(crate) async fn run<C: Couple>(task: Task, options: &Options) -> anyhow::Result<Report> {
    let couples: Result<Vec<C>, Failure> = connected(task, options).await.into_iter().collect();
    let couples = couples?;

    let mut processes = options.pid.clone();
    processes.push(Process::this());
    let before = cpu::used(&processes)?;
    let begin = Instant::now();
    let end = begin + options.time;
    let left = Arc::new(AtomicU64::new(options.at_most));
    let working = couples
        .into_iter()
        .map(|couple| work(couple, task, end, left.clone()));
    let done = together(working).await;
    let seconds = begin.elapsed().as_secs_f64();
    let mut used = cpu::used(&processes)?;
    used.iter_mut()
        .for_each(|(name, used)| *used -= before[name]);

    let (couples, works): (Vec<C>, Vec<Work>) = done.into_iter().unzip();
    let mut all = Work::default();
    works.into_iter().for_each(|work| all.add(work));
    let mut taken_back = 0;
    for (taken, failure) in together(couples.into_iter().map(take_back)).await {
        taken_back += taken;
        failure.into_iter().for_each(|failure| all.failed(failure));
    }
    Ok(Report::new(task, seconds, all, taken_back, used))
}

/// Couples that have done it a few times.
async fn connected<C: Couple>(task: Task, options: &Options) -> Vec<Result<C, Failure>> {
    let connecting = (0..usize::from(options.concurrency)).map(|at| {
        let server = |at: usize| options.server[at % options.server.len()].clone();
        let (one, two) = (server(at), server(at + 1));
        async move {
            let mut couple = C::connect(&one, &two).await?;
            for _ in 0..WARM_UPS {
                once(&mut couple, task).await?;
            }
            Ok(couple)
        }
    });
    together(connecting).await
}

async fn work<C: Couple>(
    mut couple: C,
    task: Task,
    end: Instant,
    left: Arc<AtomicU64>,
) -> (C, Work) {
    let mut work = Work::default();
    let take = |left: u64| left.checked_sub(1);
    while Instant::now() < end
        && left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    {
        match once(&mut couple, task).await {
            Ok(took) => work
                .took
                .push(u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
            Err(failure) => {
                work.failed(failure);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    (couple, work)
}

/// How long it took. That two peers part again is not waited for by anybody, but it is work.
async fn once<C: Couple>(couple: &mut C, task: Task) -> Result<Duration, Failure> {
    let begin = Instant::now();
    let once = async {
        match task {
            Task::Pairings => {
                couple.pair().await?;
                Ok(begin.elapsed())
            }
            Task::Setups(transport) => {
                let session = couple.set_up(transport).await?;
                let took = begin.elapsed();
                couple.part(session).await;
                Ok(took)
            }
        }
    };
    let done = tokio::time::timeout(PATIENCE, once).await;
    done.unwrap_or_else(|_| Err(Failure::new("no end", "within 10 s")))
}

/// How many pairings were taken back, and why not all of them.
async fn take_back<C: Couple>(mut couple: C) -> (u64, Option<Failure>) {
    let (mut taken, mut failure) = (0, None);
    while failure.is_none() {
        match couple.take_back().await {
            Ok(true) => taken += 1,
            Ok(false) => break,
            Err(why) => failure = Some(why),
        }
    }
    (taken, failure)
}

/// What all of them give, once each has ended.
async fn together<F>(futures: impl Iterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    futures.collect::<JoinSet<_>>().join_all().await
}

impl Work {
    fn failed(&mut self, failure: Failure) {
        *self.failures.entry(failure).or_default() += 1;
    }

    fn add(&mut self, other: Self) {
        self.took.extend(other.took);
        for (failure, count) in other.failures {
            *self.failures.entry(failure).or_default() += count;
        }
    }
}

/// How often each couple does it before anything is measured.
const WARM_UPS: u32 = 3;

/// What takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// After a failure, so that a server that is away is not hammered at.
const PAUSE: Duration = Duration::from_millis(100);
