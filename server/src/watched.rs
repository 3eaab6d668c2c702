//! Files that somebody else changes.
//!
//! ```text
//! the files differ from what was read ── the same a second later ──┐
//! somebody asks ───────────────────────────────────────────────────┴─► read all of them again
//! ```
//!
//! Who changes several files writes one after the other, and each of them in pieces. What was read is judged
//! by whoever watches: what does not fit is not used, until the next change.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::Notify;

/// `N` files that are read together.
#[derive(Clone, Debug)]
pub(crate) struct Watched<const N: usize> {
    paths: [PathBuf; N],
    seen: [Seen; N],
}

/// By what a change of a file shows: device, inode, length and time of the last change, also of its
/// mode; none of a file that is not there. Links are followed, so that one that leads elsewhere shows, too.
type Seen = Option<(u64, u64, u64, i64, i64)>;

impl<const N: usize> Watched<N> {
    /// Looks at the files. To be called before they are read for the first time: a change between the two is
    /// noticed as one that comes later.
    pub(crate) fn new(paths: [PathBuf; N]) -> Self {
        let seen = seen(&paths);
        Self { paths, seen }
    }

    pub(crate) const fn paths(&self) -> &[PathBuf; N] {
        &self.paths
    }

    /// Looks at the files every second, and reads them when they have changed or somebody asks, for ever.
    pub(crate) async fn each_change<T: Send + 'static>(
        self,
        asked: &Notify,
        read: impl Fn() -> T + Clone + Send + 'static,
        mut then: impl FnMut(T),
    ) {
        let (mut known, mut before) = (self.seen, self.seen);
        loop {
            let was_asked = tokio::select! {
                () = asked.notified() => true,
                () = tokio::time::sleep(PACE) => false,
            };
            let (paths, read) = (self.paths.clone(), read.clone());
            let looked = tokio::task::spawn_blocking(move || {
                let now = seen(&paths);
                let has_settled = now != known && now == before;
                (now, (was_asked || has_settled).then(read))
            });
            let Ok((now, outcome)) = looked.await else {
                continue;
            };
            before = now;
            if let Some(outcome) = outcome {
                known = now;
                then(outcome);
            }
        }
    }
}

fn seen<const N: usize>(paths: &[PathBuf; N]) -> [Seen; N] {
    let look = |path: &Path| {
        let found = fs::metadata(path).ok()?;
        let changed = (found.ctime(), found.ctime_nsec());
        Some((found.dev(), found.ino(), found.len(), changed.0, changed.1))
    };
    std::array::from_fn(|at| look(&paths[at]))
}

/// How often the files are looked at: a call of the system for each.
const PACE: Duration = Duration::from_secs(1);
