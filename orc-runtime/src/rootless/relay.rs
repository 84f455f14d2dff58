//! The process that stays outside: it opens sockets in the host's network for the one inside, and passes signals on.
//!
//! Sockets keep the network namespace that they were made in, so a listening socket handed through serves host ports
//! with no byte copied here.

use std::ffi::OsString;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::MARKER;
use super::host_ports::{HostAnswer, HostRequest};
use crate::process::Isolation;
use crate::shim::protocol::ShimRecord;
use crate::shim::sys::{self, Ended, Fork};
use crate::shim::wire;

/// Passed on to the process inside. SIGINT too: it is in a process group of its own, so a terminal's comes once.
const FORWARDED: [i32; 6] = [sys::SIGINT, sys::SIGTERM, sys::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2];

/// Starts the process inside and relays until it ended; then ends with its exit code. Returns only when the
/// namespaces cannot be joined.
pub(super) fn run(holder: &ShimRecord, listeners: Vec<TcpListener>) -> io::Result<super::Entered> {
    let (ours, theirs) = UnixStream::pair()?;
    let pid = Pid::from_raw(holder.pid).ok_or(io::ErrorKind::NotFound)?;
    let holder = pidfd_open(pid, PidfdFlags::empty())?;
    let me = std::process::id();
    let (mut failed, failing) = io::pipe()?;
    let child = match sys::clone_process(0)? {
        Fork::Child => {
            let error = execute_inside(&holder, me, &theirs, &listeners);
            let _ = io::Write::write_all(&mut { failing }, error.to_string().as_bytes());
            sys::exit_now(127)
        }
        Fork::Parent(pid) => pid,
    };
    drop((theirs, failing));
    let mut text = String::new();
    io::Read::read_to_string(&mut failed, &mut text)?;
    if !text.is_empty() {
        sys::wait_for(child, 0);
        let isolation = Isolation::Unavailable { reason: format!("the namespaces cannot be joined: {text}") };
        return Ok(super::Entered { isolation, host_ports: super::HostPorts::direct(), listeners });
    }
    // From here on they listen inside only.
    drop(listeners);
    relay(&ours, child)
}

fn execute_inside(holder: &OwnedFd, me: u32, socket: &UnixStream, listeners: &[TcpListener]) -> io::Error {
    let prepare = || {
        rustix::process::setpgid(None, None)?;
        let cwd = std::env::current_dir()?;
        let kinds = sys::CLONE_NEWUSER | sys::CLONE_NEWNS | sys::CLONE_NEWNET | sys::CLONE_NEWUTS | sys::CLONE_NEWIPC;
        sys::setns(holder.as_fd(), kinds)?;
        // Joining a mount namespace moves to its root.
        std::env::set_current_dir(cwd)?;
        sys::inherit(socket.as_fd())?;
        listeners.iter().try_for_each(|listener| sys::inherit(listener.as_fd()))
    };
    if let Err(error) = prepare() {
        return error;
    }
    let numbers: Vec<String> = listeners.iter().map(|listener| listener.as_raw_fd().to_string()).collect();
    let marker = format!("{me}:{}:{}", socket.as_raw_fd(), numbers.join(","));
    let mut arguments = std::env::args_os();
    let name: OsString = arguments.next().unwrap_or_default();
    Command::new("/proc/self/exe").arg0(name).args(arguments).env(MARKER, marker).exec()
}

fn relay(socket: &UnixStream, child: i32) -> ! {
    let mut watched = FORWARDED.to_vec();
    watched.push(sys::SIGCHLD);
    let Ok(signals) = sys::signal_fd(&watched) else { sys::exit_now(1) };
    let (mut input, mut open) = (Vec::new(), true);
    loop {
        let mut fds = vec![PollFd::new(&signals, PollFlags::IN)];
        if open {
            fds.push(PollFd::new(socket, PollFlags::IN));
        }
        let _ = poll(&mut fds, None);
        let asked = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
        drop(fds);
        for signal in sys::read_signals(signals.as_fd()) {
            if signal != sys::SIGCHLD {
                let _ = sys::kill(child, signal);
            }
        }
        while let Some((pid, ended)) = sys::reap() {
            if pid == child {
                sys::exit_now(match ended {
                    Ended::Code(code) => code,
                    Ended::Signal(signal) => crate::runtime::exit_code_of_signal(signal),
                });
            }
        }
        if asked {
            open = serve(socket, &mut input).is_ok();
        }
    }
}

fn serve(socket: &UnixStream, input: &mut Vec<u8>) -> io::Result<()> {
    if wire::receive(socket.as_fd(), input, &mut Vec::new())? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    while let Some(request) = wire::unframe::<HostRequest>(input)? {
        let opened = open(&request);
        let answer = match &opened {
            Ok(_) => HostAnswer::Opened,
            Err(error) => HostAnswer::Refused { code: error.raw_os_error(), text: error.to_string() },
        };
        let fds: Vec<BorrowedFd<'_>> = opened.iter().map(AsFd::as_fd).collect();
        wire::send(socket.as_fd(), &wire::frame(&answer)?, &fds)?;
    }
    Ok(())
}

/// Opens what was asked for in the host's network. A connection is only begun: who asked waits for it.
fn open(request: &HostRequest) -> io::Result<OwnedFd> {
    match request {
        HostRequest::ListenTcp(address) => Ok(TcpListener::bind(address)?.into()),
        HostRequest::BindUdp(address) => Ok(UdpSocket::bind(address)?.into()),
        HostRequest::ConnectTcp(address) => begin_connect(address),
    }
}

fn begin_connect(address: &SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    match connect(&socket, address) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}
