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
    fn this_process_has_used_some() {
        let used = used(&[Process::this()]).unwrap();
        assert!(used["generator"] >= 0.0);
    }
}
