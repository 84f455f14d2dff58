//! The processes of one cluster, and what they weigh.
//!
//! A cluster is several processes (the relay and the holder of a cluster without root, a shim a pod), all executing one
//! file. A bench therefore runs a copy of the binary, and every process of that copy is its own.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

/// Memory of some processes, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Weight {
    /// Resident pages, shared ones counted in each process.
    pub rss: u64,
    /// Resident pages, shared ones divided among the processes that share them: what sums up truly.
    pub pss: u64,
    /// How many processes.
    pub processes: usize,
}

/// The processes that execute a file.
pub fn running(binary: &Path) -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| executable(*pid).is_some_and(|path| path == binary)).collect()
}

fn executable(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// What processes weigh together. One that has ended meanwhile weighs nothing.
pub fn weigh(pids: &[i32]) -> Weight {
    let mut sum = Weight::default();
    for pid in pids {
        let Ok(text) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else { continue };
        sum.rss += kilobytes(&text, "Rss:") * 1024;
        sum.pss += kilobytes(&text, "Pss:") * 1024;
        sum.processes += 1;
    }
    sum
}

/// The most memory that processes have had so far, each for itself: resident pages, in bytes.
pub fn peak(pids: &[i32]) -> u64 {
    let status = pids.iter().filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok());
    status.map(|text| kilobytes(&text, "VmHWM:") * 1024).sum()
}

fn kilobytes(text: &str, field: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Ends the processes of a file that are left, by their ids.
pub fn end_all(binary: &Path) {
    for pid in running(binary) {
        if let Some(pid) = Pid::from_raw(pid) {
            // Gone already is as good.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_and_weighs_something() {
        let me = std::env::current_exe().unwrap().canonicalize().unwrap();
        let pids = running(&me);
        assert!(pids.contains(&i32::try_from(std::process::id()).unwrap()));
        let weight = weigh(&pids);
        assert!(weight.pss > 0 && weight.rss >= weight.pss && weight.processes > 0, "{weight:?}");
        // The kernel counts pages in batches for one of the two: they differ by a little.
        assert!(peak(&pids) >= weight.rss / 2, "{weight:?}");
    }

    #[test]
    fn the_rollup_is_read() {
        assert_eq!(kilobytes("00-ff ---p [rollup]\nRss:   12 kB\nPss:  7 kB\nPss_Dirty: 3 kB\n", "Pss:"), 7);
    }
}
