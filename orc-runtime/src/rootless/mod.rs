//! Working without root: the whole process executes itself again as root of a user namespace.
//!
//! ```text
//! orc up (the user's) ── relay: stays in the host's network, binds host ports, passes signals on
//!   └─ orc up (again) ── in the holder's user, mount, network, UTS and IPC namespaces; everything else happens here
//! orc-hold            ── owned by nobody: keeps the namespaces while pods live, whatever happens to the two above
//! ```
//!
//! A later `orc up` over the same data directory joins the holder's namespaces and finds bridge and pods as they
//! were. With root rights, or where user namespaces are refused, nothing is executed again: the answer says which.

mod holder;
mod host_ports;
mod idmap;
mod relay;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

pub(crate) use holder::hold;
pub use holder::release;
pub use host_ports::HostPorts;

use crate::process::Isolation;
use crate::shim::sys;

/// Tells the process in the namespaces what it was given: `<relay's pid>:<socket>:<listener>,<listener>...`.
const MARKER: &str = "ORC_ROOTLESS";

/// What [`enter_if_needed`] needs to know.
#[derive(Debug, Clone, Default)]
pub struct Enter {
    /// The cluster's data directory; the holder is recorded in it. Created when missing.
    pub data_dir: PathBuf,
    /// TCP addresses of the host to listen on, such as the API's.
    pub listen: Vec<SocketAddr>,
}

/// Where the process runs now.
#[derive(Debug)]
pub struct Entered {
    /// For [`ProcessConfig::isolation`](crate::process::ProcessConfig::isolation).
    pub isolation: Isolation,
    /// Ports of the host, whichever namespace this is.
    pub host_ports: HostPorts,
    /// One for each of [`Enter::listen`], in order, listening in the host's network.
    pub listeners: Vec<TcpListener>,
}

/// Puts the process where it can make pods: in place as root; in a user namespace otherwise. To be called early in
/// `main`, before any thread exists. In the second case this call never returns in the calling process, which becomes
/// the relay and ends with the exit code of the process that continues.
///
/// # Errors
/// An address that cannot be bound, a data directory that cannot be written. Refused namespaces are no error but
/// [`Isolation::Unavailable`].
pub fn enter_if_needed(options: &Enter) -> io::Result<Entered> {
    if let Ok(marker) = std::env::var(MARKER) {
        return continue_inside(&marker);
    }
    std::fs::create_dir_all(&options.data_dir)?;
    let listeners = options.listen.iter().map(bind).collect::<io::Result<Vec<_>>>()?;
    let here = Isolation::detect();
    if here.is_available() {
        return Ok(Entered { isolation: here, host_ports: HostPorts::direct(), listeners });
    }
    match holder::find_or_start(&options.data_dir) {
        Ok(holder) => relay::run(&holder, listeners),
        Err(error) => {
            let reason = format!("user namespaces are refused here: {error}; run orc as root, or allow them");
            let isolation = Isolation::Unavailable { reason };
            Ok(Entered { isolation, host_ports: HostPorts::direct(), listeners })
        }
    }
}

fn bind(address: &SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).map_err(|e| io::Error::new(e.kind(), format!("listen on {address}: {e}")))
}

fn continue_inside(marker: &str) -> io::Result<Entered> {
    let bad = || io::Error::new(io::ErrorKind::InvalidInput, format!("{MARKER} is {marker:?}: it is set by orc alone"));
    let mut parts = marker.split(':');
    let mut number = || parts.next().and_then(|text| text.parse::<i32>().ok());
    let (relay, socket) = (number().ok_or_else(bad)?, number().ok_or_else(bad)?);
    forget_marker();
    // `kill -9` of the relay is `kill -9` of orc.
    sys::die_with_parent(sys::SIGKILL)?;
    if rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get()) != Some(relay) {
        return Err(io::Error::other("the process that started this one is gone"));
    }
    let socket: OwnedFd = sys::adopt_fd(socket)?;
    let listeners = parts.next().unwrap_or_default().split(',').filter(|text| !text.is_empty());
    let listeners = listeners
        .map(|text| Ok(TcpListener::from(sys::adopt_fd(text.parse().map_err(|_| bad())?)?)))
        .collect::<io::Result<Vec<_>>>()?;
    let host_ports = HostPorts::relayed(UnixStream::from(socket));
    Ok(Entered { isolation: Isolation::detect(), host_ports, listeners })
}

/// Programs that this process starts are not to take the marker for theirs.
#[allow(unsafe_code, reason = "single-threaded by contract of enter_if_needed")]
fn forget_marker() {
    // SAFETY: no other thread exists yet.
    unsafe { std::env::remove_var(MARKER) };
}
