//! What this process shows at `/metrics` besides the API server's own: loops, scheduler, elections, and the process itself.

use std::sync::Arc;

use orc_core::metrics::{Kind, Sources, Text};

use crate::board::Board;

/// Adds the sources of a process.
pub fn add(sources: &Sources, board: &Board) {
    let (loops, scheduler, elections) = (board.clone(), board.clone(), board.clone());
    sources.add(Arc::new(move |text: &mut Text| orc_reconcile::metrics::write(text, &loops.loops(), loops.now())));
    sources.add(Arc::new(move |text: &mut Text| write_scheduler(text, &scheduler)));
    sources.add(Arc::new(move |text: &mut Text| write_elections(text, &elections)));
    let started = board.started();
    sources.add(Arc::new(move |text: &mut Text| write_process(text, started.as_millisecond() as f64 / 1000.0)));
}

fn write_scheduler(text: &mut Text, board: &Board) {
    if let Some(scheduler) = board.scheduler() {
        scheduler.write_metrics(text);
    }
}

fn write_elections(text: &mut Text, board: &Board) {
    let elections = board.elections();
    if elections.is_empty() {
        return;
    }
    text.family("leader_election_master_status", Kind::Gauge, "Whether this server leads.");
    for (lease, standing) in elections {
        text.sample(&[("name", lease)], f64::from(u8::from(standing.leads)));
    }
}

/// As Prometheus' client libraries name them.
fn write_process(text: &mut Text, started: f64) {
    text.one("process_start_time_seconds", Kind::Gauge, "When the process started, since 1970.", started);
    if let Some(seconds) = cpu_seconds() {
        text.one("process_cpu_seconds_total", Kind::Counter, "CPU time, user and system.", seconds);
    }
    if let Some((virtual_bytes, resident)) = memory() {
        text.one("process_resident_memory_bytes", Kind::Gauge, "Memory in use.", resident);
        text.one("process_virtual_memory_bytes", Kind::Gauge, "Address space in use.", virtual_bytes);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        text.one("process_open_fds", Kind::Gauge, "Open files.", open.count() as f64);
    }
    if let Some(limit) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        text.one("process_max_fds", Kind::Gauge, "Files that may be open.", limit as f64);
    }
}

/// The kernel counts the process's time in nanoseconds; `/proc` shows it in hundredths of seconds.
fn cpu_seconds() -> Option<f64> {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Some(now.tv_sec as f64 + now.tv_nsec as f64 / 1e9)
}

/// Address space and memory, bytes (proc_pid_statm(5)).
fn memory() -> Option<(f64, f64)> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let page = rustix::param::page_size() as f64;
    let mut pages = text.split_whitespace().map(|field| field.parse::<f64>().map(|count| count * page));
    Some((pages.next()?.ok()?, pages.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_measures_itself() {
        let mut text = Text::default();
        write_process(&mut text, 1.5);
        let text = text.into_string();
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.parse::<f64>().ok()).unwrap_or_else(|| panic!("{name} is not in\n{text}"))
        };
        assert!(value("process_resident_memory_bytes") > 1e6 && value("process_open_fds") > 2.0);
        assert!(value("process_cpu_seconds_total") >= 0.0 && value("process_max_fds") >= value("process_open_fds"));
    }
}
