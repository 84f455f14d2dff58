//! The first process of a container: makes its root, starts its program, reaps, forwards signals, and ends with it.
//!
//! The program itself is process 2 of its PID namespace, not 1, because the kernel drops signals that a process 1 has
//! no handler for: `sleep` would not end on SIGTERM. When this process ends, the kernel kills everything left in the
//! namespace. Without a PID namespace, it is a subreaper and kills what is left by itself.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};

use super::program::Program;
use super::protocol::StartSpec;
use super::sys::{self, Ended, Fork};

/// The descriptors that a container's init is given.
pub(crate) struct InitFds {
    pub(crate) stdio: [Option<OwnedFd>; 3],
    /// Carries an error text before the program runs; closes by itself when it does.
    pub(crate) start: OwnedFd,
    /// Carries how the program ended.
    pub(crate) result: OwnedFd,
}

/// Runs as the container's init; never returns.
pub(crate) fn run(spec: &StartSpec, shm: &Path, fds: InitFds) -> ! {
    let stdio: [Option<RawFd>; 3] = std::array::from_fn(|i| fds.stdio[i].as_ref().map(AsRawFd::as_raw_fd));
    let keep: Vec<RawFd> =
        stdio.iter().flatten().copied().chain([fds.start.as_raw_fd(), fds.result.as_raw_fd()]).collect();
    sys::close_others(&keep);
    let mut start = File::from(fds.start);
    let mut result = File::from(fds.result);
    let outcome = prepare(spec, shm).and_then(|signals| {
        let program = Program { spec, argv: &spec.argv, stdio, tty: spec.tty };
        match sys::clone_process(0).map_err(|e| format!("fork: {e}"))? {
            Fork::Child => {
                let _ = start.write_all(program.become_it().as_bytes());
                sys::exit_now(127)
            }
            Fork::Parent(pid) => Ok((signals, pid)),
        }
    });
    match outcome {
        Ok((signals, pid)) => {
            drop(start);
            drop(fds.stdio);
            let ended = watch(&signals, pid);
            let (kind, number) = match ended {
                Ended::Code(code) => ('C', code),
                Ended::Signal(signal) => ('S', signal),
            };
            let _ = result.write_all(format!("{kind}{number}").as_bytes());
            if !spec.owns_processes() {
                kill_descendants(std::process::id() as i32);
            }
            sys::exit_now(0)
        }
        Err(text) => {
            let _ = start.write_all(text.as_bytes());
            sys::exit_now(127)
        }
    }
}

fn prepare(spec: &StartSpec, shm: &Path) -> Result<OwnedFd, String> {
    sys::set_name("orc-init");
    // The shim's end is the container's end: nobody else could tell how it ended.
    sys::die_with_parent(sys::SIGKILL).map_err(|e| format!("bind to the shim: {e}"))?;
    super::cgroup::enter(spec)?;
    let signals = sys::signal_fd(&sys::all_signals()).map_err(|e| format!("take signals: {e}"))?;
    rustix::process::setsid().map_err(|e| format!("start a session: {e}"))?;
    if spec.isolate {
        super::rootfs::enter(spec, shm).map_err(|e| e.to_string())?;
    }
    if !spec.owns_processes() {
        sys::become_subreaper().map_err(|e| format!("become subreaper: {e}"))?;
    }
    Ok(signals)
}

/// Forwards signals to the program and reaps until it ended.
fn watch(signals: &OwnedFd, program: i32) -> Ended {
    loop {
        let mut fds = [PollFd::new(signals, PollFlags::IN)];
        let _ = poll(&mut fds, None);
        for signal in sys::read_signals(signals.as_fd()) {
            if signal != sys::SIGCHLD {
                let _ = sys::kill(program, signal);
            }
        }
        let mut ended = None;
        while let Some((pid, how)) = sys::reap() {
            if pid == program {
                ended = Some(how);
            }
        }
        if let Some(ended) = ended {
            return ended;
        }
    }
}

/// Kills every process below `root`, until none is left.
pub(crate) fn kill_descendants(root: i32) {
    for _ in 0..1000 {
        let children = children_of(root);
        if children.is_empty() {
            return;
        }
        for child in children {
            let mut tree = vec![child];
            while let Some(pid) = tree.pop() {
                tree.extend(children_of(pid));
                let _ = sys::kill(pid, sys::SIGKILL);
            }
        }
        while sys::wait_for(-1, 0).is_some() {}
    }
}

/// The child processes of a process, as the kernel lists them.
pub(crate) fn children_of(pid: i32) -> Vec<i32> {
    std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .map(|text| text.split_whitespace().filter_map(|word| word.parse().ok()).collect())
        .unwrap_or_default()
}
