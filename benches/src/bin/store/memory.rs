//! The memory of this process.

use orc_benches::process;

/// Bytes that this process has resident now.
pub(crate) fn resident() -> u64 {
    process::weigh(&[own()]).rss
}

/// The most that this process had resident since [`forget_peak`].
pub(crate) fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Begins to measure the peak anew (`proc_pid_clear_refs(5)`).
///
/// # Errors
/// When the kernel does not allow it.
pub(crate) fn forget_peak() -> std::io::Result<()> {
    std::fs::write("/proc/self/clear_refs", "5")
}

fn own() -> i32 {
    i32::try_from(std::process::id()).unwrap_or_default()
}
