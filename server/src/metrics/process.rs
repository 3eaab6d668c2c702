//! What the system says of this process, under the names that Prometheus's own libraries use:
//! <https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>. On Linux only.

use std::fmt;
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// This process.
#[derive(Debug)]
pub(crate) struct Process {
    started: Duration,
}

impl Process {
    /// To be called when the process starts.
    pub(crate) fn new() -> Self {
        let started = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            started: started.unwrap_or_default(),
        }
    }
}

/// What is read from `/proc/self/stat`: proc_pid_stat(5).
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stat {
    /// User and system time in ticks of the clock.
    ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    /// Fields are counted from 1; the second, the name, may hold blanks and parentheses.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<_> = rest.split(' ').collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            ticks: field(14)? + field(15)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let mut gauge = |name, help, value: u64| {
            let value = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let one = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            value.encode(one)
        };
        let help = "When the server started, in seconds since 1970";
        gauge("process_start_time_seconds", help, self.started.as_secs())?;
        let Some(stat) = fs::read_to_string("/proc/self/stat").ok() else {
            return Ok(());
        };
        let Some(stat) = Stat::parse(&stat) else {
            return Ok(());
        };
        let resident = stat.resident_pages.saturating_mul(page_size() as u64);
        gauge("process_resident_memory_bytes", "Memory in use", resident)?;
        let help = "Addresses in use";
        gauge("process_virtual_memory_bytes", help, stat.virtual_bytes)?;
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            // One of them is the folder itself.
            let open = files.count().saturating_sub(1) as u64;
            gauge("process_open_fds", "Files and sockets that are open", open)?;
        }
        if let Some(most) = getrlimit(Resource::Nofile).current {
            let help = "Files and sockets that may be open";
            gauge("process_max_fds", help, most)?;
        }
        #[expect(clippy::cast_precision_loss, reason = "ticks of centuries fit")]
        let seconds = stat.ticks as f64 / clock_ticks_per_second() as f64;
        let help = "Time that processors spent on this process";
        let all =
            encoder.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?;
        ConstCounter::new(seconds).encode(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_s_line_is_read_whatever_the_process_is_called() {
        let line = "7 (a ) b) (c) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 5 6 20 0 9 0 100 8192 3 \
                    18446744073709551615";
        let expected = Stat {
            ticks: 300,
            virtual_bytes: 8192,
            resident_pages: 3,
        };
        assert_eq!(Stat::parse(line), Some(expected));
        assert_eq!(Stat::parse("7 (a) S 1 7"), None);
        assert_eq!(Stat::parse(""), None);
    }
}
