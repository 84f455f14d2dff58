//! Sockets in the host's network, from whichever namespace the process is in.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;

use crate::shim::wire;

/// Asked of the relay.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum HostRequest {
    ListenTcp(SocketAddr),
    BindUdp(SocketAddr),
    ConnectTcp(SocketAddr),
}

/// Answered by the relay; the socket comes along.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum HostAnswer {
    Opened,
    Refused { code: Option<i32>, text: String },
}

/// Opens sockets in the host's network: directly, or through the relay that stayed there. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HostPorts {
    relay: Option<Arc<Mutex<UnixStream>>>,
}

impl HostPorts {
    /// For a process that is in the host's network itself.
    pub fn direct() -> Self {
        Self { relay: None }
    }

    pub(super) fn relayed(socket: UnixStream) -> Self {
        Self { relay: Some(Arc::new(Mutex::new(socket))) }
    }

    /// Whether this process is in a network of its own, so that its own sockets do not reach the host.
    pub fn is_relayed(&self) -> bool {
        self.relay.is_some()
    }

    /// A socket that listens on an address of the host. It is in blocking mode.
    ///
    /// # Errors
    /// What the system said: the port is taken, or below 1024 and the user is not root.
    pub async fn listen_tcp(&self, address: SocketAddr) -> io::Result<TcpListener> {
        match self.ask(HostRequest::ListenTcp(address)).await? {
            Some(socket) => Ok(socket.into()),
            None => TcpListener::bind(address),
        }
    }

    /// A datagram socket on an address of the host. It is in blocking mode.
    pub async fn bind_udp(&self, address: SocketAddr) -> io::Result<UdpSocket> {
        match self.ask(HostRequest::BindUdp(address)).await? {
            Some(socket) => Ok(socket.into()),
            None => UdpSocket::bind(address),
        }
    }

    /// A connection that leaves from the host's network.
    pub async fn connect_tcp(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let Some(socket) = self.ask(HostRequest::ConnectTcp(address)).await? else {
            return TcpStream::connect(address).await;
        };
        let stream = std::net::TcpStream::from(socket);
        stream.set_nonblocking(true)?;
        let stream = TcpStream::from_std(stream)?;
        stream.writable().await?;
        match stream.take_error()? {
            Some(error) => Err(error),
            None => Ok(stream),
        }
    }

    async fn ask(&self, request: HostRequest) -> io::Result<Option<OwnedFd>> {
        let Some(relay) = self.relay.clone() else { return Ok(None) };
        let work = move || {
            // One question at a time: the answers have no other order.
            let socket = relay.lock();
            wire::send(socket.as_fd(), &wire::frame(&request)?, &[])?;
            let mut fds = Vec::new();
            match wire::receive_message(socket.as_fd(), &mut fds)? {
                HostAnswer::Opened => fds.pop().map(Some).ok_or_else(|| io::Error::other("the relay sent no socket")),
                HostAnswer::Refused { code: Some(code), .. } => Err(io::Error::from_raw_os_error(code)),
                HostAnswer::Refused { text, .. } => Err(io::Error::other(text)),
            }
        };
        tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
    }
}
