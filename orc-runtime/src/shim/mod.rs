//! The shim: a small process a pod that outlives the runtime that started it.
//!
//! It is the same program executed again under another name, so an embedder ships one file and writes
//! [`run_if_asked`] as the first line of `main`. It holds the pod's namespaces and its containers' pipes, writes their
//! logs and exit records, and answers on a unix socket in the pod's directory. It has no runtime and no thread but its
//! own: `kill -9` of the runtime loses nothing, and one that starts later connects to the same socket.
//!
//! It decides nothing: no restarts, no probes, no timers.

mod cgroup;
mod container;
mod init;
mod log;
mod mounts;
mod program;
pub(crate) mod protocol;
pub(crate) mod record;
mod rootfs;
mod server;
pub(crate) mod sys;
pub(crate) mod wire;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

use protocol::{POD_FILE, PodSpec, SHIM_FILE, SOCKET, ShimRecord};
use sys::Fork;

pub(crate) use init::children_of;
pub(crate) use rootfs::in_user_namespace;

/// Name (`argv[0]`) under which the program becomes a pod's shim.
pub(crate) const SHIM_NAME: &str = "orc-shim";
/// Name under which the program becomes the holder of the rootless namespaces.
pub(crate) const HOLD_NAME: &str = "orc-hold";

/// Becomes a shim and never returns, if this process was started as one. To be called first in `main`, before any
/// thread exists.
pub fn run_if_asked() {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    let result = if name == SHIM_NAME {
        pod(arguments.next())
    } else if name == HOLD_NAME {
        crate::rootless::hold()
    } else {
        return;
    };
    match result {
        Ok(()) => sys::exit_now(0),
        Err(error) => {
            eprintln!("{error}");
            sys::exit_now(1)
        }
    }
}

/// The launched process waits until its child, the shim proper, listens; then it leaves, and nobody owns the shim.
fn pod(dir: Option<OsString>) -> io::Result<()> {
    let dir = PathBuf::from(dir.ok_or(io::ErrorKind::InvalidInput)?);
    let (mut ready_out, ready) = io::pipe()?;
    match sys::clone_process(0)? {
        Fork::Child => {
            drop(ready_out);
            let result = serve_pod(&dir, ready.into());
            if let Err(error) = &result {
                eprintln!("shim: {error}");
            }
            sys::exit_now(i32::from(result.is_err()))
        }
        Fork::Parent(_) => {
            drop(ready);
            let mut text = String::new();
            ready_out.read_to_string(&mut text)?;
            if text == "ready" { Ok(()) } else { Err(io::Error::other(text)) }
        }
    }
}

fn serve_pod(dir: &Path, ready: OwnedFd) -> io::Result<()> {
    let mut ready = fs::File::from(ready);
    match set_up(dir, ready.as_raw_fd()) {
        Ok(server) => {
            ready.write_all(b"ready")?;
            drop(ready);
            server.run()?;
            fs::remove_file(dir.join(SOCKET))
        }
        Err(error) => {
            ready.write_all(error.to_string().as_bytes())?;
            Err(error)
        }
    }
}

fn set_up(dir: &Path, ready: i32) -> io::Result<server::Server> {
    detach(dir, ready)?;
    let spec: PodSpec = record::read(&dir.join(POD_FILE))?
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no {POD_FILE} in {}", dir.display())))?;
    let signals = sys::signal_fd(&sys::all_signals())?;
    let shm = dir.join("shm");
    if spec.isolate {
        own_namespaces(&spec, &shm)?;
    }
    let listener = wire::listen(dir, SOCKET)?;
    record::write(&dir.join(SHIM_FILE), &ShimRecord::of_this_process()?)?;
    server::Server::new(listener, signals, shm)
}

/// Lets go of everything inherited: session, directory, descriptors, terminal.
fn detach(dir: &Path, ready: i32) -> io::Result<()> {
    sys::set_name(SHIM_NAME);
    rustix::process::setsid()?;
    std::env::set_current_dir("/")?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    sys::close_others(&[ready]);
    let log = fs::OpenOptions::new().create(true).append(true).open(dir.join("shim.log"))?;
    let null = fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    sys::dup_to(null.as_raw_fd(), 0)?;
    sys::dup_to(null.as_raw_fd(), 1)?;
    sys::dup_to(log.as_raw_fd(), 2)
}

fn own_namespaces(spec: &PodSpec, shm: &Path) -> io::Result<()> {
    let mut kinds = sys::CLONE_NEWNS;
    kinds |= if spec.host_network { 0 } else { sys::CLONE_NEWNET };
    kinds |= if spec.host_ipc { 0 } else { sys::CLONE_NEWIPC };
    kinds |= if spec.hostname.is_empty() { 0 } else { sys::CLONE_NEWUTS };
    sys::unshare(kinds).map_err(|e| io::Error::new(e.kind(), format!("make the pod's namespaces: {e}")))?;
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mounts::named(mount_change("/", slave), "detach from the host's mounts at", Path::new("/"))?;
    if !spec.hostname.is_empty() {
        rustix::system::sethostname(spec.hostname.as_bytes())?;
    }
    fs::create_dir_all(shm)?;
    if spec.host_ipc {
        return mounts::bind(Path::new("/dev/shm"), shm);
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mounts::named(mount("shm", shm, "tmpfs", flags, c"mode=1777,size=65536k"), "mount tmpfs on", shm)?;
    fs::set_permissions(shm, fs::Permissions::from_mode(0o1777))
}

impl ShimRecord {
    /// Names this process.
    pub(crate) fn of_this_process() -> io::Result<Self> {
        Self::of(std::process::id() as i32)
    }

    /// Names another process.
    pub(crate) fn of(pid: i32) -> io::Result<Self> {
        Ok(Self { pid, start_time: start_time(pid)?, boot_id: boot_id()? })
    }

    /// Whether the process that was recorded still lives.
    pub(crate) fn is_alive(&self) -> bool {
        boot_id().is_ok_and(|id| id == self.boot_id)
            && start_time(self.pid).is_ok_and(|time| time == self.start_time)
            && !is_zombie(self.pid)
    }

    /// Sends a signal to the process, if it is still the one that was recorded.
    pub(crate) fn kill(&self, signal: i32) -> io::Result<()> {
        if self.is_alive() { sys::kill(self.pid, signal) } else { Ok(()) }
    }
}

fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// The fields of `/proc/<pid>/stat` after the name, which may itself hold blanks and brackets.
pub(crate) fn stat_fields(pid: i32) -> io::Result<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = text.rsplit_once(')').ok_or(io::ErrorKind::InvalidData)?;
    Ok(rest.split_whitespace().map(str::to_owned).collect())
}

fn start_time(pid: i32) -> io::Result<u64> {
    let fields = stat_fields(pid)?;
    fields.get(19).and_then(|text| text.parse().ok()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn is_zombie(pid: i32) -> bool {
    stat_fields(pid).is_ok_and(|fields| fields.first().is_some_and(|state| state == "Z" || state == "X"))
}

/// The inode that names a namespace of a process: equal for processes that share it.
pub(crate) fn namespace_id(pid: &str, kind: &str) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    Ok(fs::metadata(format!("/proc/{pid}/ns/{kind}"))?.ino())
}

/// Opens a namespace of a process.
pub(crate) fn namespace(pid: &str, kind: &str) -> io::Result<OwnedFd> {
    Ok(fs::File::open(format!("/proc/{pid}/ns/{kind}"))?.into())
}

/// Moves the calling thread into a namespace.
pub(crate) fn enter_namespace(handle: &OwnedFd, kind: i32) -> io::Result<()> {
    sys::setns(handle.as_fd(), kind)
}
