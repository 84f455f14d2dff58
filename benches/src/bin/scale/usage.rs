//! What the cluster's processes use: memory at its peak, processor time.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use orc_benches::process;
use tokio::task::JoinHandle;

/// Between two looks at the memory. The kernel walks all pages for one, some 20 ms a GiB.
const EVERY: Duration = Duration::from_secs(2);

/// Watches the memory of processes until it is dropped.
pub(crate) struct Memory {
    pids: Vec<i32>,
    peak: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Memory {
    pub(crate) fn watch(pids: Vec<i32>) -> Self {
        let peak = Arc::new(AtomicU64::new(0));
        let task = {
            let (pids, peak) = (pids.clone(), peak.clone());
            tokio::spawn(async move {
                let mut pace = tokio::time::interval(EVERY);
                loop {
                    pace.tick().await;
                    let pids = pids.clone();
                    let weighed = tokio::task::spawn_blocking(move || process::weigh(&pids).pss).await;
                    peak.fetch_max(weighed.unwrap_or(0), Ordering::Relaxed);
                }
            })
        };
        Self { pids, peak, task }
    }

    /// The highest sum of proportional pages so far, in bytes, the present one included.
    pub(crate) fn peak(&self) -> u64 {
        let now = process::weigh(&self.pids).pss;
        self.peak.fetch_max(now, Ordering::Relaxed).max(now)
    }

    /// Processor time that the processes have used so far.
    pub(crate) fn cpu(&self) -> Duration {
        self.pids.iter().filter_map(|pid| used(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)).sum()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// User and system time of a line of `/proc/PID/stat` (proc_pid_stat(5), fields 14 and 15).
fn used(stat: &str) -> Option<Duration> {
    // The second field is a name in parentheses, which may hold anything.
    let rest = stat.rsplit_once(')')?.1;
    let mut ticks = rest.split_whitespace().skip(11).map(str::parse::<u64>);
    let sum = ticks.next()?.ok()? + ticks.next()?.ok()?;
    let second = rustix::param::clock_ticks_per_second();
    Some(Duration::from_millis(sum * 1000 / second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read() {
        let line = "7 (a (b) c) S 1 7 7 0 -1 0 0 0 0 0 150 50 9 9 20 0 1 0 100 0 0";
        assert_eq!(
            used(line),
            Some(Duration::from_secs(200) / u32::try_from(rustix::param::clock_ticks_per_second()).unwrap())
        );
        assert_eq!(used("7 (short) S 1"), None);
    }
}
