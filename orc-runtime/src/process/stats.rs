//! Usage, from `/proc`: the container's init and everything below it.

use jiff::Timestamp;

use super::layout::ContainerRecord;
use crate::runtime::{ContainerStats, NetworkStats};
use crate::shim::{children_of, stat_fields};

/// The kernel's unit of time in `/proc` (USER_HZ): 100 a second on every architecture that Rust's std runs on.
const NANOS_PER_TICK: u64 = 10_000_000;

pub(super) fn of_container(container: &ContainerRecord, init: i32, at: Timestamp) -> ContainerStats {
    let (mut ticks, mut memory, mut processes) = (0, 0, 0u64);
    let mut tree = vec![init];
    while let Some(pid) = tree.pop() {
        tree.extend(children_of(pid));
        processes += u64::from(pid != init);
        ticks += ticks_of(pid);
        memory += memory_of(pid);
    }
    ContainerStats {
        id: container.id.clone(),
        name: container.config.name.clone(),
        at,
        cpu_nanos: ticks * NANOS_PER_TICK,
        working_set_bytes: memory,
        processes,
    }
}

/// User and system time of a process and of the children that it has reaped: fields 14 to 17 of proc_pid_stat(5).
fn ticks_of(pid: i32) -> u64 {
    stat_fields(pid).map_or(0, |fields| fields.iter().skip(11).take(4).filter_map(|t| t.parse::<u64>().ok()).sum())
}

/// Memory that is the process' own; pages of files can be taken back.
fn memory_of(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kilobytes = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    (kilobytes("RssAnon:") + kilobytes("RssShmem:")) * 1024
}

pub(super) fn of_network(shim: i32) -> Option<NetworkStats> {
    parse_dev(&std::fs::read_to_string(format!("/proc/{shim}/net/dev")).ok()?)
}

fn parse_dev(text: &str) -> Option<NetworkStats> {
    let rest = text.lines().find_map(|line| line.trim().strip_prefix("eth0:"))?;
    let fields: Vec<u64> = rest.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    Some(NetworkStats { rx_bytes: *fields.first()?, tx_bytes: *fields.get(8)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interface_table_is_read() {
        let text = "Inter-| Receive\n face |bytes\n    lo: 1 2 3 4 5 6 7 8 9 10\n  eth0: 11 2 3 4 5 6 7 8 99 10 0 0\n";
        assert_eq!(parse_dev(text), Some(NetworkStats { rx_bytes: 11, tx_bytes: 99 }));
    }
}
