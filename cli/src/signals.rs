//! Signals that end a command: Ctrl-C (INT), what `systemctl stop`, `docker stop` and `timeout` send (TERM),
//! and what a closed terminal sends (HUP).
//!
//! ```text
//! first signal ──► the command is dropped, peers say goodbye, codes are withdrawn ──► exit 130, 143 or 129
//! second signal, or GOODBYE later ──────────────────────────────────────────────────► exit at once
//! ```
//!
//! `serve` takes HUP without a terminal, or while it is there, as a wish to read its certificate again, if
//! it has files of one.
//!
//! A task of its own listens, so that a command is ended, too, whose thread is blocked in reading or writing.

use std::future::Future;
use std::sync::LazyLock;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::failure::Failure;

/// Which signal ends a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP: the terminal is gone.
    HangUp,
}

impl Stop {
    /// The exit code, as of a program that the signal killed.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
            Self::HangUp => 129,
        }
    }
}

/// Listens to the signals.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` if the program was told to ignore it, as `nohup` does.
    hang_up: Option<Signal>,
}

impl Signals {
    /// Begins. From now on these signals do not kill the process.
    pub(crate) fn listen() -> std::io::Result<Self> {
        let hang_up = match ignores_hang_up() {
            true => None,
            false => Some(signal(SignalKind::hangup())?),
        };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up,
        })
    }

    /// The next one. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Stop {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Stop::Interrupt,
            _ = self.terminate.recv() => Stop::Terminate,
            _ = hang_up => Stop::HangUp,
        }
    }
}

/// Whether a process has a terminal that may be closed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    was_there: bool,
}

impl Terminal {
    /// Looks for one. A daemon has none, nor has what a pipe or another program started in a session of
    /// its own.
    pub(crate) fn now() -> Self {
        Self {
            was_there: has_terminal(),
        }
    }

    /// Whether it is not there any more. Then HUP came with its end, and not from an operator.
    pub(crate) fn is_gone(self) -> bool {
        self.was_there && !has_terminal()
    }
}

/// The system opens this name for those who have one.
fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

/// Runs a command until it is done or a signal ends it. A command that ends early has dropped its peer; that
/// gets the time to hang up, so that the other side need not wait for it to return.
pub(crate) async fn until_stopped(
    command: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let (teller, mut stopped) = watch::channel(None);
    let listener = tokio::spawn(async move {
        let first = signals.next().await;
        teller.send_replace(Some(first));
        // The command does its goodbyes and ends the process before this does.
        let again = tokio::time::timeout(GOODBYE, signals.next()).await;
        std::process::exit(again.unwrap_or(first).code().into());
    });
    let result = tokio::select! {
        result = command => result,
        stop = stop(&mut stopped) => Err(Failure::Stopped(stop).into()),
    };
    if result.is_err() {
        GOODBYES.close();
        let _ = tokio::time::timeout(FAREWELL, GOODBYES.wait()).await;
    }
    // A signal that arrives later finds a process that ends anyway.
    listener.abort();
    result
}

/// Spawns a task that ends when a peer has hung up, or a code was taken back: a command that ends early waits
/// for it.
pub(crate) fn spawn_goodbye(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    GOODBYES.spawn(task)
}

static GOODBYES: LazyLock<TaskTracker> = LazyLock::new(TaskTracker::new);

async fn stop(stopped: &mut watch::Receiver<Option<Stop>>) -> Stop {
    match stopped.wait_for(Option::is_some).await {
        Ok(stop) => stop.unwrap_or(Stop::Interrupt),
        Err(_) => std::future::pending().await,
    }
}

/// Whether whoever started this program wants it to outlive the terminal. Linux tells; elsewhere HUP ends a
/// command.
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored(&status) & HANG_UP_BIT != 0
}

/// The signals that a process ignores, a bit each, from `/proc/self/status`.
fn ignored(status: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

/// SIGHUP is signal 1, the lowest bit.
const HANG_UP_BIT: u64 = 1;

/// For how long goodbyes are waited for. Hanging up takes a round trip to the relay, withdrawing a code one
/// to the server; on a busy machine their tasks wait for their turn, too.
const FAREWELL: Duration = Duration::from_millis(2_600);

/// For how long a command that was told to end may go on, in all. A thread that is blocked for ever does not
/// hold the process longer.
const GOODBYE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        let status = "Name:\tpeersox\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001001\n";
        assert_eq!(ignored(status) & HANG_UP_BIT, 1);
        assert_eq!(ignored("SigIgn:\t0000000000001000\n") & HANG_UP_BIT, 0);
        assert_eq!(ignored(""), 0);
    }
}
