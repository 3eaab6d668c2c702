//! The one thread that writes.
//!
//! Work waits in a queue of [`QUEUE`]; when it is full, callers wait. The thread takes all that is
//! there into one transaction, so that a hundred peers who come at once cost one wait for the disk
//! and not a hundred. Within it, work is done in the order of the queue; after it, events are told
//! in that order, and then the callers are answered. If anything fails, nothing of the batch is
//! stored and all its callers are told.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use peersox_core::id::PairingId;
use peersox_core::pairing::{Event, Write};
use peersox_core::time::Timestamp;
use redb::{Database, Durability};
use tokio::sync::{mpsc, oneshot};

use super::tables::Tables;
use super::{failed, lock};
use crate::store::watchers::Watchers;
use crate::store::{Commit, Outcome, StoreError, Version};

/// The way to the thread. Dropping it waits until the queue is empty and the thread has ended.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
pub(super) enum Work {
    Commit(Box<Commit>),
    Sweep,
}

impl Writer {
    pub(super) fn start(
        database: Arc<Database>,
        watchers: Arc<Mutex<Watchers>>,
        max: usize,
    ) -> std::io::Result<Self> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let pen = Pen {
            database,
            watchers,
            max,
            unsaved: false,
        };
        let thread = std::thread::Builder::new()
            .name("peersox-store".to_owned())
            .spawn(move || pen.run(jobs))?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    /// Has work done. Who stops waiting for the answer does not stop the work.
    pub(super) async fn carry_out(
        &self,
        work: Work,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let ended = || StoreError("the thread that writes has ended; restart the server".into());
        let queue = self.queue.as_ref().ok_or_else(ended)?;
        let (reply, answer) = oneshot::channel();
        let job = Job { work, now, reply };
        queue.send(job).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // It has said so itself if it panicked.
            let _ = thread.join();
        }
    }
}

#[derive(Debug)]
struct Job {
    work: Work,
    now: Timestamp,
    reply: oneshot::Sender<Result<Outcome, StoreError>>,
}

/// What those who watch are to be told.
enum News {
    Over(PairingId),
    Happened(PairingId, Version, Event),
}

struct Pen {
    database: Arc<Database>,
    watchers: Arc<Mutex<Watchers>>,
    max: usize,
    /// Something was committed that a power cut would undo.
    unsaved: bool,
}

impl Pen {
    fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(first) = jobs.blocking_recv() {
            let more = std::iter::from_fn(|| jobs.try_recv().ok());
            let batch: Vec<Job> = std::iter::once(first).chain(more).take(QUEUE).collect();
            self.answer(batch);
        }
        if let Err(error) = self.transact(&[], true) {
            tracing::warn!(%error, "the last comings and goings of peers were not stored");
        }
    }

    fn answer(&mut self, batch: Vec<Job>) {
        let save = batch.iter().any(|job| matches!(job.work, Work::Sweep));
        let (outcomes, news) = match self.transact(&batch, save) {
            Ok(done) => done,
            Err(error) => {
                for job in batch {
                    // Nobody may be waiting any more, here and below.
                    let _ = job.reply.send(Err(error.clone()));
                }
                return;
            }
        };
        let mut watchers = lock(&self.watchers);
        for news in news {
            match news {
                News::Over(id) => watchers.over(id),
                News::Happened(id, version, event) => watchers.tell(id, version, event),
            }
        }
        drop(watchers);
        for (job, outcome) in batch.into_iter().zip(outcomes) {
            let _ = job.reply.send(Ok(outcome));
        }
    }

    /// Does a batch in one transaction; `save` also makes durable what earlier ones left unsaved.
    fn transact(
        &mut self,
        batch: &[Job],
        save: bool,
    ) -> Result<(Vec<Outcome>, Vec<News>), StoreError> {
        let mut transaction = self.database.begin_write().map_err(failed)?;
        let mut tables = Tables::open(&transaction)?;
        let (mut outcomes, mut news) = (Vec::new(), Vec::new());
        let (mut changed, mut lasting) = (false, save && self.unsaved);
        for job in batch {
            let over = tables.forget_until(job.now)?;
            changed |= !over.is_empty();
            news.extend(over.into_iter().map(News::Over));
            let Work::Commit(commit) = &job.work else {
                outcomes.push(Outcome::Committed);
                continue;
            };
            let done = tables.commit(commit, self.max)?;
            outcomes.push(done.outcome);
            let committed = done.outcome == Outcome::Committed;
            changed |= committed;
            lasting |= committed && must_last(commit);
            news.extend(done.evicted.map(News::Over));
            news.extend(
                done.news
                    .map(|(id, made, event)| News::Happened(id, made, event)),
            );
        }
        drop(tables);
        if !changed && !lasting {
            // Dropping the transaction leaves the file as it is.
            return Ok((outcomes, news));
        }
        if !lasting {
            transaction
                .set_durability(Durability::None)
                .map_err(failed)?;
        }
        transaction.commit().map_err(failed)?;
        self.unsaved = !lasting;
        Ok((outcomes, news))
    }
}

/// Who is attached ends with the process, so waiting for the disk would be for nothing: thousands of peers
/// that attach after a restart would wait in a line. Neither is it worth while for some more time.
const fn must_last(commit: &Commit) -> bool {
    !matches!(commit.write, Write::Prolong(_))
}

/// As many calls as a disk of a hundred writes per second answers within their deadlines, several
/// times over.
const QUEUE: usize = 256;
