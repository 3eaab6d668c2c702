//! A worse network, made in user space: the kernel queues packets (NFQUEUE) and asks this program about each;
//! it answers at once that a packet is lost, or after the delay that it may go on.
//!
//! ```text
//!   sender ── kernel ──┬── queue ──────────────── kernel ── receiver
//!                      └ number ▶ impair ▶ verdict ┘
//! ```
//!
//! What travels is the kernel's own packet, so TCP and QUIC see delay and loss as they do on a real path: a
//! proxy could delay bytes, but a lost segment of TCP never reaches one. Rules of iptables say which
//! packets are queued:
//!
//! ```sh
//! iptables -A INPUT -p tcp --dport 3000 -j NFQUEUE --queue-num 0
//! ```
//!
//! In `INPUT`, because there a packet counts as sent: TCP stops when much of what it sent waits in its own
//! host.

mod judge;
mod queue;

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::args::time;
use judge::{Judge, Verdict};
use queue::Queue;

/// What the network does.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The kernel's queue.
    #[arg(long, default_value_t = 0, value_name = "N")]
    queue: u16,

    /// How long each packet takes longer, as in `50ms`.
    #[arg(long, value_name = "TIME", value_parser = time)]
    delay: Duration,

    /// How many of a hundred packets are lost.
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    loss: f64,

    /// Which ones: the same seed loses the same packets of a sequence.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
}

/// Judges packets until the process ends.
///
/// # Errors
/// If the kernel has no such queue for this program.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let mut queue = Queue::bind(options.queue)?;
    let mut judge = Judge::new(options.delay, options.loss / 100.0, options.seed);
    let begin = Instant::now();
    // The kernel's queue bounds it: no packet is here that is not there.
    let (held, waiting) = mpsc::channel::<(Duration, u32)>();
    let releaser = queue.verdicts()?;
    thread::spawn(move || -> anyhow::Result<()> {
        let mut next = waiting.recv().ok();
        while let Some((due, mut last)) = next {
            thread::sleep(due.saturating_sub(begin.elapsed()));
            // Who is due by now goes with it: packets are numbered, and leave in the order in which they
            // came.
            next = None;
            while let Ok((due, packet)) = waiting.try_recv() {
                if due > begin.elapsed() {
                    next = Some((due, packet));
                    break;
                }
                last = packet;
            }
            releaser.pass_up_to(last)?;
            next = next.or_else(|| waiting.recv().ok());
        }
        Ok(())
    });
    println!("ready");
    let verdicts = queue.verdicts()?;
    loop {
        for packet in queue.packets()? {
            match judge.judge(begin.elapsed()) {
                Verdict::Lost => verdicts.lose(packet)?,
                Verdict::PassAt(due) => held.send((due, packet))?,
            }
        }
    }
}
