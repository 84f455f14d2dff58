//! What a test asks of the machine.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};

/// Whether every thread of a process is stopped, as `/proc` tells it.
pub(super) fn halted(id: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let mut states = threads.map(|thread| fs::read_to_string(thread.path().join("stat")).unwrap_or_default());
    // `12 (etcd) T ...`
    states.all(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T')))
}

/// Why a program did not start, and what to install.
pub(super) fn missing(program: &str, package: &str, error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => format!("{program} is not installed: apt-get install {package} (Debian)"),
        _ => format!("{program} does not start: {error}"),
    }
}

/// Ports that were free a moment ago.
pub(super) fn free_ports() -> Result<[u16; 3], String> {
    let bound = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listeners = bound().and_then(|a| Ok([a, bound()?, bound()?]));
    let ports =
        listeners.and_then(|[a, b, c]| Ok([a.local_addr()?.port(), b.local_addr()?.port(), c.local_addr()?.port()]));
    ports.map_err(|error| format!("no free ports for etcd: {error}"))
}
