//! The few system calls that neither std nor rustix offers safely: fork and clone, signals, exec, identity.
//!
//! Everything here is used by single-threaded processes only (the shim, a container's init, a program about to be
//! executed), which is what makes `fork` without `exec` sound: no other thread can hold a lock across it.
#![allow(unsafe_code, reason = "system calls with no safe wrapper; each is a thin, checked call")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

pub(crate) use libc::{
    CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS, CLONE_PARENT, SIGCHLD, SIGHUP,
    SIGINT, SIGKILL, SIGTERM,
};

/// Which side of a fork this is.
pub(crate) enum Fork {
    /// The new process.
    Child,
    /// The caller, with the new process' id.
    Parent(i32),
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// `clone` without shared memory: a fork that may put the child into new namespaces. In a process with threads the
/// child may do nothing but [`exit_now`].
pub(crate) fn clone_process(flags: libc::c_int) -> io::Result<Fork> {
    // SAFETY: no CLONE_VM and no new stack, so this is fork(); see the contract above.
    let pid = unsafe { libc::syscall(libc::SYS_clone, (flags | SIGCHLD) as libc::c_ulong, 0, 0, 0, 0) };
    match pid {
        0 => Ok(Fork::Child),
        pid if pid > 0 => Ok(Fork::Parent(pid as i32)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `unshare` of namespaces.
pub(crate) fn unshare(flags: libc::c_int) -> io::Result<()> {
    // SAFETY: plain system call; namespace flags do not touch memory.
    check(unsafe { libc::unshare(flags) }).map(drop)
}

/// `setns`, with a namespace file or a pidfd and a set of kinds.
pub(crate) fn setns(fd: BorrowedFd<'_>, flags: libc::c_int) -> io::Result<()> {
    // SAFETY: plain system call on a borrowed descriptor.
    check(unsafe { libc::setns(fd.as_raw_fd(), flags) }).map(drop)
}

/// Ends the process at once: no destructors, no exit handlers.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: never returns.
    unsafe { libc::_exit(code) }
}

/// Sends a signal; 0 only asks whether the process exists.
pub(crate) fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: plain system call.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It called exit.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
}

/// Reaps one ended child, if there is one. `None`: none ended, or there are no children.
pub(crate) fn reap() -> Option<(i32, Ended)> {
    wait_for(-1, libc::WNOHANG)
}

/// Waits for one child (`-1`: any).
pub(crate) fn wait_for(pid: i32, options: libc::c_int) -> Option<(i32, Ended)> {
    loop {
        let mut status = 0;
        // SAFETY: `status` outlives the call.
        let pid = unsafe { libc::waitpid(pid, &mut status, options) };
        if pid < 0 && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted {
            continue;
        }
        if pid <= 0 {
            return None;
        }
        let ended = if libc::WIFSIGNALED(status) {
            Ended::Signal(libc::WTERMSIG(status))
        } else {
            Ended::Code(libc::WEXITSTATUS(status))
        };
        return Some((pid, ended));
    }
}

fn signal_set(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: the set is initialised by sigemptyset or sigfillset before use.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in signals {
            libc::sigaddset(&mut set, *signal);
        }
        set
    }
}

/// Every signal that can be caught.
pub(crate) fn all_signals() -> Vec<i32> {
    (1..=31)
        .filter(|s| {
            ![libc::SIGKILL, libc::SIGSTOP, libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE].contains(s)
        })
        .collect()
}

/// Blocks the signals and returns a descriptor that reads them.
pub(crate) fn signal_fd(signals: &[i32]) -> io::Result<OwnedFd> {
    let set = signal_set(signals);
    // SAFETY: `set` is initialised; the new descriptor is owned by nobody else.
    unsafe {
        check(libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()))?;
        let fd = check(libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Reads the pending signals of a [`signal_fd`].
pub(crate) fn read_signals(fd: BorrowedFd<'_>) -> Vec<i32> {
    let mut found = Vec::new();
    loop {
        // SAFETY: the buffer is exactly one record, fully overwritten on success.
        let (size, info) = unsafe {
            let mut info: libc::signalfd_siginfo = std::mem::zeroed();
            let want = size_of::<libc::signalfd_siginfo>();
            (libc::read(fd.as_raw_fd(), (&raw mut info).cast(), want) == want as isize, info)
        };
        if !size {
            return found;
        }
        found.push(info.ssi_signo as i32);
    }
}

/// Gives the process the signal state that a program expects at its start: nothing blocked, nothing ignored.
pub(crate) fn default_signals() {
    // SAFETY: plain system calls; SIG_DFL is always valid.
    unsafe {
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        let none = signal_set(&[]);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
    }
}

/// Sends `signal` to this process when its parent ends.
pub(crate) fn die_with_parent(signal: i32) -> io::Result<()> {
    // SAFETY: plain system call.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal, 0, 0, 0) }).map(drop)
}

/// Makes this process the parent of orphaned descendants.
pub(crate) fn become_subreaper() -> io::Result<()> {
    // SAFETY: plain system call.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }).map(drop)
}

/// The name shown by `ps`.
pub(crate) fn set_name(name: &str) {
    if let Ok(name) = CString::new(name) {
        // SAFETY: the string outlives the call.
        unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) };
    }
}

/// No exec may raise privileges from here on.
pub(crate) fn no_new_privs() -> io::Result<()> {
    // SAFETY: plain system call.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }).map(drop)
}

/// Takes every capability that is not in `keep` (bits by number) from what an exec can ever give.
pub(crate) fn limit_capabilities(keep: u64) {
    for capability in 0..64 {
        if keep & (1 << capability) == 0 {
            // SAFETY: plain system call; an unknown number is refused, which is as good.
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        }
    }
}

/// Becomes another user for good. Groups are left alone where the user namespace denies changing them.
pub(crate) fn become_user(uid: u32, gid: u32, groups: Option<&[u32]>) -> io::Result<()> {
    // SAFETY: plain system calls in a single-threaded process.
    unsafe {
        if let Some(groups) = groups {
            check(libc::setgroups(groups.len(), groups.as_ptr()))?;
        }
        check(libc::setresgid(gid, gid, gid))?;
        check(libc::setresuid(uid, uid, uid))?;
    }
    Ok(())
}

/// Puts `fd` at number `at`, inheritable.
pub(crate) fn dup_to(fd: RawFd, at: RawFd) -> io::Result<()> {
    // SAFETY: `at` is one of 0, 1, 2, which this process does not own through any OwnedFd at this point.
    unsafe {
        if fd == at { check(libc::fcntl(fd, libc::F_SETFD, 0)).map(drop) } else { check(libc::dup2(fd, at)).map(drop) }
    }
}

/// Keeps a descriptor over exec.
pub(crate) fn inherit(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: plain system call on a borrowed descriptor.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, 0) }).map(drop)
}

/// Takes ownership of a descriptor that the process inherited by number.
///
/// The caller vouches that the number was handed down by the parent for this purpose and is used once.
pub(crate) fn adopt_fd(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: checked to be open; ownership is the caller's contract above.
    unsafe {
        check(libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Closes every descriptor from 3 up except those in `keep`.
pub(crate) fn close_others(keep: &[RawFd]) {
    let mut keep: Vec<RawFd> = keep.iter().copied().filter(|fd| *fd > 2).collect();
    keep.sort_unstable();
    let mut from = 3u32;
    for fd in keep.iter().map(|fd| *fd as u32).chain([u32::MAX]) {
        if from < fd {
            let to = if fd == u32::MAX { u32::MAX } else { fd - 1 };
            // SAFETY: the caller never touches the closed descriptors again: it is a fresh fork that only execs or exits.
            unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) };
        }
        from = fd.saturating_add(1);
    }
}

/// Makes the terminal `fd` the controlling one of this session.
pub(crate) fn take_terminal(fd: RawFd) -> io::Result<()> {
    // SAFETY: plain ioctl without argument memory.
    check(unsafe { libc::ioctl(fd, libc::TIOCSCTTY, 0) }).map(drop)
}

/// Replaces the process. Returns only with the error.
pub(crate) fn exec(path: &CString, argv: &[CString], env: &[CString]) -> io::Error {
    let pointers = |list: &[CString]| {
        let mut all: Vec<*const libc::c_char> = list.iter().map(|s| s.as_ptr()).collect();
        all.push(std::ptr::null());
        all
    };
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: both arrays end in null and their strings outlive the call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}
