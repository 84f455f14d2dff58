//! One container in the shim: starting it, moving its output into its log, and recording its end.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use jiff::Timestamp;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::init::{self, InitFds};
use super::log::{LogFile, Source};
use super::protocol::{EXIT_FILE, ExitRecord, STARTED_FILE, StartSpec, StartedRecord};
use super::record;
use super::sys::{self, Ended, Fork};
use crate::runtime::{exit_code_of_signal, reason};

/// A client that gets a copy of the output. One that does not read is let go rather than waited for.
struct Listener {
    stdout: Option<File>,
    stderr: Option<File>,
}

/// A container that the shim started.
pub(crate) struct Container {
    pub(crate) spec: StartSpec,
    pub(crate) init: i32,
    pub(crate) pid: i32,
    pub(crate) exit: Option<ExitRecord>,
    started_at: Timestamp,
    log: Option<LogFile>,
    stdout: Option<File>,
    stderr: Option<File>,
    /// The writing end of the container's input, or its terminal.
    stdin: Option<OwnedFd>,
    result: File,
    listeners: Vec<Listener>,
}

pub(crate) fn now() -> Timestamp {
    // The shim is a driver: this is the one place where it looks at the clock.
    #[allow(clippy::disallowed_methods, reason = "records and logs carry the wall time")]
    Timestamp::now()
}

struct Pipes {
    stdio: [Option<OwnedFd>; 3],
    stdout: File,
    stderr: Option<File>,
    stdin: Option<OwnedFd>,
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    Ok((reader.into(), writer.into()))
}

fn nonblocking(fd: impl AsFd) -> io::Result<()> {
    let flags = fcntl_getfl(&fd)?;
    Ok(fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?)
}

fn terminal() -> io::Result<(OwnedFd, OwnedFd)> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let slave = rustix::fs::open(name.as_c_str(), flags, rustix::fs::Mode::empty())?;
    Ok((master, slave))
}

fn pipes(spec: &StartSpec) -> io::Result<Pipes> {
    if spec.tty {
        let (master, slave) = terminal()?;
        let stdio = [Some(slave.try_clone()?), Some(slave.try_clone()?), Some(slave)];
        let stdin = Some(master.try_clone()?);
        nonblocking(&master)?;
        return Ok(Pipes { stdio, stdout: master.into(), stderr: None, stdin });
    }
    let (stdout, stdout_in) = pipe()?;
    let (stderr, stderr_in) = pipe()?;
    nonblocking(&stdout)?;
    nonblocking(&stderr)?;
    let (input, stdin) = if spec.stdin { pipe().map(|(r, w)| (Some(r), Some(w)))? } else { (None, None) };
    let stdio = [input, Some(stdout_in), Some(stderr_in)];
    Ok(Pipes { stdio, stdout: stdout.into(), stderr: Some(stderr.into()), stdin })
}

impl Container {
    /// Starts the program. `Err(Ok(text))`: the program could not be executed, an exit record says so;
    /// `Err(Err(_))`: the shim itself failed.
    /// `among` is the init of the container whose processes it is to live among.
    pub(crate) fn start(spec: StartSpec, shm: &Path, among: Option<i32>) -> Result<Self, Result<String, io::Error>> {
        let log = spec.log.as_deref().map(LogFile::open).transpose().map_err(Err)?;
        let pipes = pipes(&spec).map_err(Err)?;
        let (mut start_out, start) = io::pipe().map_err(Err)?;
        let (result_out, result) = io::pipe().map_err(Err)?;
        let fds = InitFds { stdio: pipes.stdio, start: start.into(), result: result.into() };
        let mut flags = 0;
        if spec.isolate {
            flags |= sys::CLONE_NEWNS;
            if spec.owns_processes() {
                flags |= sys::CLONE_NEWPID;
            }
        }
        let forked = match among {
            Some(other) if spec.isolate => clone_among(other, flags),
            _ => sys::clone_process(flags),
        };
        let init = match forked.map_err(Err)? {
            Fork::Child => init::run(&spec, shm, fds),
            Fork::Parent(pid) => pid,
        };
        drop(fds);
        let mut text = String::new();
        let read = start_out.read_to_string(&mut text);
        if read.is_err() || !text.is_empty() {
            let _ = sys::kill(init, sys::SIGKILL);
            sys::wait_for(init, 0);
            record::write(&spec.dir.join(EXIT_FILE), &start_error(&text)).map_err(Err)?;
            return Err(Ok(text));
        }
        let pid = init::children_of(init).first().copied().unwrap_or(init);
        let started_at = now();
        let started = StartedRecord { pid, init, at: started_at };
        record::write(&spec.dir.join(STARTED_FILE), &started).map_err(Err)?;
        Ok(Self {
            spec,
            init,
            pid,
            exit: None,
            started_at,
            log,
            stdout: Some(pipes.stdout),
            stderr: pipes.stderr,
            stdin: pipes.stdin,
            result: File::from(OwnedFd::from(result_out)),
            listeners: Vec::new(),
        })
    }

    /// The descriptors to wait for output on.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.stdout.iter().chain(&self.stderr).map(AsFd::as_fd)
    }

    /// Signals the program; SIGKILL ends the whole container.
    pub(crate) fn signal(&self, signal: i32) -> io::Result<()> {
        if signal == sys::SIGKILL && !self.spec.owns_processes() {
            // The init sees its program die, kills the rest and reports.
            return sys::kill(self.pid, signal);
        }
        sys::kill(self.init, signal)
    }

    /// Moves what output there is into the log and to the listeners.
    pub(crate) fn pump(&mut self) {
        // One full buffer a stream and turn, so that a chatty container does not starve the others.
        self.pump_once(Source::Stdout);
        self.pump_once(Source::Stderr);
    }

    fn pump_once(&mut self, source: Source) {
        let slot = if source == Source::Stdout { &mut self.stdout } else { &mut self.stderr };
        let Some(pipe) = slot else { return };
        let mut chunk = [0u8; 16 * 1024];
        match pipe.read(&mut chunk) {
            Ok(size) if size > 0 => {
                if let Some(log) = &mut self.log
                    && let Err(error) = log.push(source, &chunk[..size], now())
                {
                    eprintln!("log of {}: {error}", self.spec.id);
                }
                self.listeners.retain_mut(|listener| listener.take(source, &chunk[..size]));
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            // A terminal whose other side is closed reads as an error.
            Ok(_) | Err(_) => *slot = None,
        }
    }

    fn drain(&mut self) {
        for source in [Source::Stdout, Source::Stderr] {
            loop {
                let slot = if source == Source::Stdout { &self.stdout } else { &self.stderr };
                let Some(pipe) = slot else { break };
                let mut ready = [rustix::event::PollFd::new(pipe, rustix::event::PollFlags::IN)];
                let none = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
                if !matches!(rustix::event::poll(&mut ready, Some(&none)), Ok(n) if n > 0) {
                    break;
                }
                self.pump_once(source);
            }
        }
    }

    /// The init ended: everything of the container is gone. Empties the pipes and writes the exit record.
    pub(crate) fn finish(&mut self, init: Ended) {
        self.drain();
        let at = now();
        if let Some(log) = &mut self.log
            && let Err(error) = log.finish(at)
        {
            eprintln!("log of {}: {error}", self.spec.id);
        }
        (self.stdout, self.stderr, self.stdin) = (None, None, None);
        self.listeners.clear();
        let exit = self.exit_record(init, at);
        if let Err(error) = record::write(&self.spec.dir.join(EXIT_FILE), &exit) {
            eprintln!("exit record of {}: {error}", self.spec.id);
        }
        self.exit = Some(exit);
    }

    fn exit_record(&mut self, init: Ended, at: Timestamp) -> ExitRecord {
        let mut text = String::new();
        let _ = self.result.read_to_string(&mut text);
        let number = text.get(1..).and_then(|digits| digits.parse().ok());
        let ended = match (text.as_bytes().first(), number) {
            (Some(b'C'), Some(code)) => Ended::Code(code),
            (Some(b'S'), Some(signal)) => Ended::Signal(signal),
            _ => init,
        };
        let (code, signal) = match ended {
            Ended::Code(code) => (code, None),
            Ended::Signal(signal) => (exit_code_of_signal(signal), Some(signal)),
        };
        ExitRecord {
            code,
            signal,
            reason: match code {
                _ if super::cgroup::ran_out_of_memory(&self.spec) => reason::OOM_KILLED,
                0 => reason::COMPLETED,
                _ => reason::ERROR,
            }
            .to_owned(),
            message: String::new(),
            started_at: Some(self.started_at),
            finished_at: at,
        }
    }

    /// Adds a listener and hands out the container's input when asked for.
    pub(crate) fn attach(
        &mut self,
        stdin: bool,
        stdout: Option<OwnedFd>,
        stderr: Option<OwnedFd>,
    ) -> io::Result<Option<OwnedFd>> {
        for fd in stdout.iter().chain(&stderr) {
            nonblocking(fd)?;
        }
        self.listeners.push(Listener { stdout: stdout.map(File::from), stderr: stderr.map(File::from) });
        let input = match &self.stdin {
            Some(fd) if stdin || self.spec.tty => Some(fd.try_clone()?),
            _ => None,
        };
        if stdin && self.spec.stdin_once && !self.spec.tty {
            self.stdin = None;
        }
        Ok(input)
    }

    pub(crate) fn reopen_log(&mut self) -> io::Result<()> {
        self.log.as_mut().map_or(Ok(()), LogFile::reopen)
    }
}

impl Listener {
    /// Gives it output; false when it is to be let go.
    fn take(&mut self, source: Source, bytes: &[u8]) -> bool {
        let slot = if source == Source::Stdout { &mut self.stdout } else { &mut self.stderr };
        let Some(file) = slot else { return true };
        let mut sent = 0;
        while sent < bytes.len() {
            match rustix::io::write(&*file, &bytes[sent..]) {
                Ok(size) => sent += size,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
        true
    }
}

fn start_error(text: &str) -> ExitRecord {
    ExitRecord {
        code: 128,
        signal: None,
        reason: reason::START_ERROR.to_owned(),
        message: text.to_owned(),
        started_at: None,
        finished_at: now(),
    }
}

/// Makes a process in the PID namespace of another one. The shim itself stays where it is.
fn clone_among(other: i32, flags: i32) -> io::Result<Fork> {
    let own = super::namespace("self", "pid")?;
    super::enter_namespace(&super::namespace(&other.to_string(), "pid")?, sys::CLONE_NEWPID)?;
    let forked = sys::clone_process(flags);
    if matches!(forked, Ok(Fork::Child)) {
        return forked;
    }
    super::enter_namespace(&own, sys::CLONE_NEWPID)?;
    forked
}

/// Runs a program in a running container. The child is a child of the shim; its end comes with SIGCHLD.
pub(crate) fn exec(container: &Container, argv: &[String], stdio: [Option<OwnedFd>; 3], tty: bool) -> io::Result<i32> {
    let (start_out, start) = io::pipe()?;
    let helper = match sys::clone_process(0)? {
        Fork::Child => exec_helper(container, argv, stdio, tty, start.into()),
        Fork::Parent(pid) => pid,
    };
    drop((start, stdio));
    let mut text = Vec::new();
    let mut start_out = File::from(OwnedFd::from(start_out));
    start_out.read_to_end(&mut text)?;
    sys::wait_for(helper, 0);
    let (pid, error) = pid_and_error(&String::from_utf8_lossy(&text));
    match pid {
        Some(pid) if error.is_empty() => Ok(pid),
        Some(pid) => {
            sys::wait_for(pid, 0);
            Err(io::Error::other(error))
        }
        None => Err(io::Error::other(error)),
    }
}

/// The helper's `\x01<pid>\x02` and the program's error text come in either order.
fn pid_and_error(text: &str) -> (Option<i32>, String) {
    match text
        .split_once('\x01')
        .and_then(|(before, rest)| rest.split_once('\x02').map(|(pid, after)| (before, pid, after)))
    {
        Some((before, pid, after)) => (pid.parse().ok(), format!("{before}{after}")),
        None => (None, text.to_owned()),
    }
}

/// Joins the container's namespaces, makes the program's process a child of the shim, and leaves.
fn exec_helper(container: &Container, argv: &[String], stdio: [Option<OwnedFd>; 3], tty: bool, start: OwnedFd) -> ! {
    let mut start = File::from(start);
    let write = |start: &mut File, text: &str| {
        let _ = io::Write::write_all(start, text.as_bytes());
    };
    let entered = super::cgroup::enter(&container.spec);
    if let Err(error) = entered.and_then(|()| join(container).map_err(|error| error.to_string())) {
        write(&mut start, &format!("join container: {error}"));
        sys::exit_now(127);
    }
    match sys::clone_process(sys::CLONE_PARENT) {
        Ok(Fork::Child) => {
            let stdio: [Option<i32>; 3] = std::array::from_fn(|i| stdio[i].as_ref().map(AsRawFd::as_raw_fd));
            let text = super::program::Program { spec: &container.spec, argv, stdio, tty }.become_it();
            write(&mut start, &text);
            sys::exit_now(127)
        }
        Ok(Fork::Parent(pid)) => {
            write(&mut start, &format!("\x01{pid}\x02"));
            sys::exit_now(0)
        }
        Err(error) => {
            write(&mut start, &format!("fork: {error}"));
            sys::exit_now(127)
        }
    }
}

fn join(container: &Container) -> io::Result<()> {
    if !container.spec.isolate {
        return Ok(());
    }
    let init = rustix::process::Pid::from_raw(container.init).ok_or(io::ErrorKind::NotFound)?;
    let handle = rustix::process::pidfd_open(init, rustix::process::PidfdFlags::empty())?;
    let mut kinds = sys::CLONE_NEWNS;
    if !container.spec.host_pid {
        kinds |= sys::CLONE_NEWPID;
    }
    sys::setns(handle.as_fd(), kinds)
}
