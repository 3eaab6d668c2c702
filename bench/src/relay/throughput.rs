//! How much a relay carries: the first peer of each pair sends, the second one counts.
//!
//! `sent <= arrived + window`, per pair. So the generator never waits on a socket that the relay has given
//! up, and a relay that is slow has no more in its buffers than a fast one.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use serde_json::{Map, Value};
use tokio::task::JoinSet;

use super::ends::{End, Pair, Sender, frame};
use super::{Meter, Options};
use crate::failure::{At as _, Failure};

/// What one pair has on its way.
#[derive(Default)]
struct Flow {
    sent: Cell<usize>,
    arrived: Cell<usize>,
    sender: RefCell<Option<Waker>>,
}

pub(super) async fn run(
    pairs: Vec<Pair>,
    options: &Options,
    batch: usize,
    window: usize,
    pids: &[u32],
) -> Result<Map<String, Value>, Failure> {
    let frame = frame(options.size as usize);
    let (batch, window) = frames(frame.len(), batch, window);
    let mut tasks = JoinSet::<Result<(), Failure>>::new();
    let mut flows = Vec::new();
    for Pair { one, two } in pairs {
        let flow = Rc::new(Flow::default());
        flows.push(flow.clone());
        let (
            End {
                sender,
                mut receiver,
            },
            mut notices,
        ) = (two, one.receiver);
        let counted = flow.clone();
        tasks.spawn_local(async move {
            let _keep = sender;
            loop {
                let came = receiver.count().await.at("receive")?;
                counted.arrived.set(counted.arrived.get() + came);
                if let Some(sender) = counted.sender.take() {
                    sender.wake();
                }
            }
        });
        tasks.spawn_local(async move {
            loop {
                notices.count().await.at("receive")?;
            }
        });
        let mut bytes = Vec::new();
        (0..batch).for_each(|_| one.sender.put(&frame, &mut bytes));
        tasks.spawn_local(send(one.sender, flow, bytes, batch, window));
    }

    let arrived = || -> usize { flows.iter().map(|it| it.arrived.get()).sum() };
    let measure = async {
        tokio::time::sleep(options.warm_up).await;
        let (before, meter) = (arrived(), Meter::start(pids));
        tokio::time::sleep(options.turn).await;
        let frames = arrived() - before;
        (frames, meter.stop())
    };
    let (frames, mut told) = tokio::select! {
        measured = measure => measured,
        Some(Ok(Err(failure))) = tasks.join_next() => return Err(failure),
    };
    if frames == 0 {
        return Err(Failure::new("throughput", "nothing arrived"));
    }
    told.insert("frames".into(), frames.into());
    told.insert("bytes".into(), (frames * frame.len()).into());
    Ok(told)
}

async fn send(
    mut sender: Sender,
    flow: Rc<Flow>,
    bytes: Vec<u8>,
    batch: usize,
    window: usize,
) -> Result<(), Failure> {
    loop {
        poll_fn(|context| {
            if flow.sent.get() + batch <= flow.arrived.get() + window {
                return Poll::Ready(());
            }
            *flow.sender.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
        sender.write(&bytes).await.at("send")?;
        flow.sent.set(flow.sent.get() + batch);
    }
}

/// How many frames are written at once, and how many may be on their way: four batches at least.
fn frames(size: usize, batch: usize, window: usize) -> (usize, usize) {
    let batch = (batch / size).max(1);
    (batch, (window / size).max(4 * batch))
}

#[cfg(test)]
mod tests {
    #[test]
    fn batches_and_windows_are_whole_frames() {
        for (size, batch, window, expected) in [
            (64, 16_384, 262_144, (256, 4_096)),
            (64, 1, 1, (1, 4)),
            (65_536, 16_384, 262_144, (1, 4)),
            (16_384, 16_384, 1 << 20, (1, 64)),
        ] {
            assert_eq!(super::frames(size, batch, window), expected);
        }
    }
}
