//! Processor time of processes on this machine, as Linux tells it.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::Context as _;

/// A process, and the name under which its processor time is added up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) pid: u32,
}

impl Process {
    /// This process.
    pub(crate) fn this() -> Self {
        Self {
            name: "generator".to_owned(),
            pid: std::process::id(),
        }
    }
}

impl FromStr for Process {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, pid) = text.split_once('=').unwrap_or(("server", text));
        let pid = pid.parse().map_err(|_| format!("{pid:?} is no number"))?;
        let name = name.to_owned();
        Ok(Self { name, pid })
    }
}

/// Seconds that each group of processes has used since it began, its threads that ended included.
pub(crate) fn used(processes: &[Process]) -> anyhow::Result<BTreeMap<String, f64>> {
    let mut seconds = BTreeMap::new();
    for Process { name, pid } in processes {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .with_context(|| format!("process {pid} ({name}) cannot be looked at"))?;
        let ticks = ticks(&stat).context("/proc tells something else than it did")?;
        *seconds.entry(name.clone()).or_default() += ticks as f64 / TICKS_PER_SECOND;
    }
    Ok(seconds)
}

/// Seconds that the threads of these processes have used that live now, to the nanosecond. Who is gone has
/// used nothing.
pub(crate) fn exact(pids: &[u32]) -> f64 {
    let tasks = pids
        .iter()
        .filter_map(|pid| std::fs::read_dir(format!("/proc/{pid}/task")).ok());
    let stats = tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok());
    let nanos = stats.filter_map(|stat| stat.split(' ').next()?.parse::<u64>().ok());
    nanos.sum::<u64>() as f64 / 1e9
}

/// Seconds that the processors of this machine were busy since it started.
pub(crate) fn machine() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    busy_ticks(&stat).unwrap_or_default() as f64 / TICKS_PER_SECOND
}

/// user, nice, system, interrupts; idle and what waits for disks stand between them.
fn busy_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.lines().next()?.split_whitespace();
    fields.next().filter(|it| *it == "cpu")?;
    let fields: Vec<u64> = fields.map_while(|it| it.parse().ok()).collect();
    let [user, nice, system, _, _, interrupts, soft, ..] = fields[..] else {
        return None;
    };
    Some(user + nice + system + interrupts + soft)
}

/// KiB of memory of these processes that is resident.
pub(crate) fn resident(pids: &[u32]) -> u64 {
    let status = |pid| std::fs::read_to_string(format!("/proc/{pid}/status")).ok();
    let kib = |status: String| {
        let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"));
        line?.split_whitespace().next()?.parse::<u64>().ok()
    };
    pids.iter().filter_map(status).filter_map(kib).sum()
}

/// `utime` and `stime`, fields 14 and 15. The second field, a name in parentheses, may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, from_third) = stat.rsplit_once(')')?;
    let mut fields = from_third.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// What Linux shows to programs, whatever the kernel itself counts by.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_have_a_name() {
        let read = |text: &str| text.parse::<Process>().ok().map(|it| (it.name, it.pid));
        assert_eq!(read("12"), Some(("server".into(), 12)));
        assert_eq!(read("redis=7"), Some(("redis".into(), 7)));
        assert_eq!(read("redis=x"), None);
    }

    #[test]
    fn the_name_of_a_program_confuses_nobody() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 40 2 0 0";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks(""), None);
    }

    #[test]
    fn who_is_idle_or_waits_for_a_disk_is_not_busy() {
        assert_eq!(
            busy_ticks("cpu  1 2 4 1000 1000 8 16 0 0 0\ncpu0 1"),
            Some(31)
        );
        assert_eq!(busy_ticks("cpu0 1 2"), None);
        assert!(machine() > 0.0);
    }

    #[test]
    fn this_process_is_seen() {
        let this = [std::process::id()];
        assert!(exact(&this) > 0.0);
        assert!(resident(&this) > 100);
        assert_eq!((exact(&[]), resident(&[])), (0.0, 0));
    }

    #[test]
    fn this_process_has_used_some() {
        let used = used(&[Process::this()]).unwrap();
        assert!(used["generator"] >= 0.0);
    }
}
