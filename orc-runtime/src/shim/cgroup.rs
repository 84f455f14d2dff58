//! A container's cgroup, as its own processes and the shim see it. Who makes it is the runtime.

use std::fs;
use std::path::Path;

use super::protocol::StartSpec;

/// Moves this process into the container's cgroup; all that it starts is in it from then on.
pub(crate) fn enter(spec: &StartSpec) -> Result<(), String> {
    let Some(dir) = &spec.cgroup else { return Ok(()) };
    let path = dir.join("cgroup.procs");
    fs::write(&path, "0").map_err(|error| format!("enter cgroup {}: {error}", path.display()))
}

/// Whether the kernel killed something in it because its memory ran out.
pub(crate) fn ran_out_of_memory(spec: &StartSpec) -> bool {
    spec.cgroup.as_deref().is_some_and(|dir| kills(dir) > 0)
}

fn kills(dir: &Path) -> u64 {
    let text = fs::read_to_string(dir.join("memory.events")).unwrap_or_default();
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}
