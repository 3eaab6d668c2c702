//! How long a frame takes there and back.
//!
//! Paced load is open: the time at which each frame is to be sent is fixed beforehand, and latency counts
//! from there. A relay, or a generator, that stands still for a second delays a second of frames, and each
//! of them is counted with its delay; a generator that waited would count one.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Map, Value};
use tokio::io::unix::AsyncFd;
use tokio::task::JoinSet;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use super::ends::{End, Pair, Sender, frame};
use super::{Meter, Options};
use crate::failure::{At as _, Failure};

/// One frame at a time, through one pair.
pub(super) async fn ping_pong(
    mut pairs: Vec<Pair>,
    options: &Options,
    pids: &[u32],
) -> Result<Map<String, Value>, Failure> {
    let Some(Pair { mut one, two }) = pairs.pop() else {
        return Err(Failure::new("ping-pong", "no pair"));
    };
    let mut tasks = JoinSet::<Result<(), Failure>>::new();
    tasks.spawn_local(echo(two));
    let mut bytes = Vec::new();
    one.sender.put(&frame(options.size as usize), &mut bytes);
    let begin = Instant::now();
    let mut trips = Trips::new();
    let mut meter = None;
    while begin.elapsed() < options.warm_up + options.turn {
        if meter.is_none() && begin.elapsed() >= options.warm_up {
            trips = Trips::new();
            meter = Some(Meter::start(pids));
        }
        let sent = Instant::now();
        one.sender.write(&bytes).await.at("send")?;
        let back = tokio::time::timeout(PATIENCE, one.receiver.count()).await;
        back.at("echo")?.at("echo")?;
        trips.record(sent.elapsed());
    }
    let mut told = meter.unwrap_or_else(|| Meter::start(pids)).stop();
    told.insert("frames".into(), (2 * trips.0.len()).into());
    trips.tell("", &mut told);
    Ok(told)
}

/// Frames at fixed times, through all pairs.
pub(super) async fn paced(
    pairs: Vec<Pair>,
    options: &Options,
    rate: u32,
    pids: &[u32],
) -> Result<Map<String, Value>, Failure> {
    let schedule = Schedule::new(pairs.len(), rate, options.warm_up + options.turn);
    let mut tasks = JoinSet::<Result<(), Failure>>::new();
    let begin = Instant::now();
    let trips = Rc::new(RefCell::new(Trips::new()));
    let mut senders = Vec::new();
    for Pair { one, two } in pairs {
        tasks.spawn_local(echo(two));
        let End {
            sender,
            mut receiver,
        } = one;
        senders.push((sender, Vec::new()));
        let (trips, from) = (trips.clone(), options.warm_up);
        tasks.spawn_local(async move {
            loop {
                let came = receiver.each(|frame| {
                    let due = due(frame);
                    if due >= from {
                        trips.borrow_mut().since(due, begin.elapsed());
                    }
                });
                came.await.at("receive")?;
            }
        });
    }
    let sending = send(senders, schedule, begin, options, pids);
    let (senders, late, expected, mut told) = tokio::select! {
        sent = sending => sent?,
        Some(Ok(Err(failure))) = tasks.join_next() => return Err(failure),
    };
    let end = Instant::now() + PATIENCE;
    while trips.borrow().0.len() < expected && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(senders);
    let trips = trips.borrow();
    told.insert("frames".into(), (2 * trips.0.len()).into());
    told.insert("lost".into(), expected.saturating_sub(trips.0.len()).into());
    trips.tell("", &mut told);
    late.tell("late_", &mut told);
    Ok(told)
}

type Senders = Vec<(Sender, Vec<u8>)>;

/// Sends each frame when it is due; tells how late it was, and how many were measured.
async fn send(
    mut senders: Senders,
    schedule: Schedule,
    begin: Instant,
    options: &Options,
    pids: &[u32],
) -> Result<(Senders, Trips, u64, Map<String, Value>), Failure> {
    let mut timer = Timer::new()?;
    let mut frame = frame(options.size as usize);
    let mut late = Trips::new();
    let mut meter = None;
    for (due, pair) in schedule {
        while let Some(wait) = due.checked_sub(begin.elapsed()).filter(|it| !it.is_zero()) {
            timer.sleep(wait).await?;
        }
        if due >= options.warm_up {
            meter.get_or_insert_with(|| Meter::start(pids));
            late.since(due, begin.elapsed());
        }
        stamp(&mut frame, due);
        let (sender, waiting) = &mut senders[pair];
        sender.put(&frame, waiting);
        // What the socket does not take waits for the next turn of this pair, and its delay is counted.
        sender.write_now(waiting).at("send")?;
        tokio::task::yield_now().await;
    }
    for (sender, waiting) in &mut senders {
        sender.write(waiting).await.at("send")?;
        waiting.clear();
    }
    let told = meter.unwrap_or_else(|| Meter::start(pids)).stop();
    let count = late.0.len();
    Ok((senders, late, count, told))
}

/// Sends back what comes.
async fn echo(end: End) -> Result<(), Failure> {
    let End {
        mut sender,
        mut receiver,
    } = end;
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let came = receiver.each(|frame| sender.put(frame, &mut bytes));
        came.await.at("echo")?;
        sender.write(&bytes).await.at("echo")?;
    }
}

/// When frames are due since the beginning, and which pair sends each: spread evenly over all pairs.
struct Schedule {
    step: Duration,
    pairs: usize,
    next: u32,
    end: Duration,
}

impl Schedule {
    fn new(pairs: usize, rate: u32, end: Duration) -> Self {
        let pairs = pairs.max(1);
        let step = Duration::from_secs_f64(1.0 / (pairs as f64 * f64::from(rate)));
        Self {
            step,
            pairs,
            next: 0,
            end,
        }
    }
}

impl Iterator for Schedule {
    type Item = (Duration, usize);

    fn next(&mut self) -> Option<(Duration, usize)> {
        let due = self.step * self.next;
        let pair = self.next as usize % self.pairs;
        self.next += 1;
        (due < self.end).then_some((due, pair))
    }
}

/// Times, of three digits each.
struct Trips(Histogram<u64>);

impl Trips {
    fn new() -> Self {
        Self(Histogram::new(3).expect("three digits are allowed"))
    }

    fn record(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
        // It grows by itself, so every value fits.
        self.0 += nanos;
    }

    /// Records how long it is since something was due.
    fn since(&mut self, due: Duration, now: Duration) {
        self.record(now.saturating_sub(due));
    }

    fn tell(&self, prefix: &str, told: &mut Map<String, Value>) {
        for (name, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)] {
            let micros = self.0.value_at_quantile(quantile) as f64 / 1e3;
            told.insert(format!("{prefix}{name}_us"), micros.into());
        }
        let most = self.0.max() as f64 / 1e3;
        told.insert(format!("{prefix}max_us"), most.into());
    }
}

/// Writes into a frame when it is due.
fn stamp(frame: &mut [u8], due: Duration) {
    let nanos = u64::try_from(due.as_nanos()).unwrap_or(u64::MAX);
    frame[STAMP..STAMP + 8].copy_from_slice(&nanos.to_le_bytes());
}

fn due(frame: &[u8]) -> Duration {
    let nanos = frame[STAMP..].first_chunk();
    Duration::from_nanos(nanos.map_or(0, |it| u64::from_le_bytes(*it)))
}

/// Sleeps for less than a millisecond, which tokio's timer cannot.
struct Timer(AsyncFd<std::os::fd::OwnedFd>);

impl Timer {
    fn new() -> Result<Self, Failure> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).at("timer")?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe, and a file that we own stays open"
        )]
        let timer = AsyncFd::new(timer).at("timer")?;
        Ok(Self(timer))
    }

    async fn sleep(&mut self, time: Duration) -> Result<(), Failure> {
        let zero = Duration::ZERO.try_into().at("timer")?;
        let value: Timespec = time.try_into().at("timer")?;
        let once = Itimerspec {
            it_interval: zero,
            it_value: value,
        };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once).at("timer")?;
        loop {
            let mut ready = self.0.readable().await.at("timer")?;
            let mut count = [0; 8];
            let rang = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut count)?));
            if let Ok(rang) = rang {
                rang.at("timer")?;
                return Ok(());
            }
        }
    }
}

/// Where in a frame its time stands: behind the lane.
const STAMP: usize = 1;

/// What takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn pairs_send_in_turns_at_fixed_times() {
        let all: Vec<_> = Schedule::new(2, 250, 7 * MILLI).collect();
        let millis: Vec<_> = all
            .iter()
            .map(|(due, pair)| (due.as_millis(), *pair))
            .collect();
        assert_eq!(millis, [(0, 0), (2, 1), (4, 0), (6, 1)]);
    }

    /// A relay answers at once, but stands still for 100 ms of a second: a tenth of the frames waited.
    #[test]
    fn whoever_waited_for_a_pause_is_counted() {
        let mut trips = Trips::new();
        for (due, _) in Schedule::new(1, 1_000, 1_000 * MILLI) {
            let standing = 400 * MILLI..500 * MILLI;
            let answered = if standing.contains(&due) {
                standing.end
            } else {
                due
            };
            trips.since(due, answered + MILLI);
        }
        let mut told = Map::new();
        trips.tell("", &mut told);
        let told = |name: &str| told[name].as_f64().unwrap() / 1e3;
        assert!((told("p50_us") - 1.0).abs() < 0.1);
        assert!((told("p99_us") - 91.0).abs() < 2.0, "{}", told("p99_us"));
        assert!((told("max_us") - 101.0).abs() < 1.0);
    }

    #[test]
    fn a_frame_says_when_it_was_due() {
        let mut sent = frame(16);
        stamp(&mut sent, 1_234 * MILLI);
        assert_eq!(due(&sent), 1_234 * MILLI);
        assert_eq!(sent[0], frame(16)[0]);
    }

    #[tokio::test]
    async fn the_timer_rings() {
        let begin = Instant::now();
        Timer::new().unwrap().sleep(MILLI / 2).await.unwrap();
        assert!(begin.elapsed() >= MILLI / 2);
    }
}
