//! A socket of datagrams that answers from the address it was asked at.
//!
//! A socket on one address does so by itself. One on all addresses would answer from whichever the route back suggests, and the
//! client would not know it: there the kernel tells with each datagram which address it came to, and is told the same on the
//! way back (`IP_PKTINFO`, ip(7)).

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsRawFd as _, RawFd};

use tokio::io::Interest;
use tokio::net::UdpSocket;

/// The socket.
pub(super) struct Datagrams {
    socket: UdpSocket,
    /// The one address that it is bound to; `None` is all of the host's.
    at: Option<IpAddr>,
}

impl Datagrams {
    /// Takes a bound socket.
    ///
    /// # Errors
    /// When the system cannot tell the addresses of its datagrams.
    pub(super) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let bound = socket.local_addr()?.ip();
        let at = (!bound.is_unspecified()).then_some(bound);
        if at.is_none() {
            ask_for_addresses(socket.as_raw_fd())?;
        }
        Ok(Self { socket: UdpSocket::from_std(socket)?, at })
    }

    /// Waits until something can be received. Cancel-safe.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Receives a datagram: its length, who sent it, and the address that it was sent to.
    ///
    /// # Errors
    /// `WouldBlock` when there is none.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr, IpAddr)> {
        match self.at {
            Some(at) => self.socket.try_recv_from(buffer).map(|(length, from)| (length, from, at)),
            None => self.socket.try_io(Interest::READABLE, || receive(self.socket.as_raw_fd(), buffer)),
        }
    }

    /// Sends a datagram from an address that one came to.
    ///
    /// # Errors
    /// `WouldBlock` when the socket's queue is full.
    pub(super) fn send(&self, data: &[u8], to: SocketAddr, from: IpAddr) -> io::Result<()> {
        match (self.at, to, from) {
            (None, SocketAddr::V4(to), IpAddr::V4(from)) => {
                self.socket.try_io(Interest::WRITABLE, || send(self.socket.as_raw_fd(), data, to, from))
            }
            _ => self.socket.try_send_to(data, to).map(drop),
        }
    }
}

/// Room for one control message; the type gives the alignment that the kernel's header needs.
type Control = [u64; 8];

fn length<T>() -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}

#[allow(unsafe_code, reason = "neither std nor rustix has this socket option")]
fn ask_for_addresses(socket: RawFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the value is an int that outlives the call, and its length is given.
    let done = unsafe {
        libc::setsockopt(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, (&raw const on).cast(), length::<libc::c_int>())
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[allow(unsafe_code, reason = "control messages of this kind are in neither std nor rustix")]
fn receive(socket: RawFd, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr, IpAddr)> {
    // SAFETY: these are plain structures of numbers and pointers, for which zero is a value.
    let (mut from, mut message): (libc::sockaddr_in, libc::msghdr) = unsafe { (zeroed(), zeroed()) };
    let mut control: Control = [0; 8];
    let mut data = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    message.msg_name = (&raw mut from).cast();
    message.msg_namelen = length::<libc::sockaddr_in>();
    message.msg_iov = &raw mut data;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of::<Control>() as _;
    // SAFETY: all that the message points to lives until after the call, with the lengths given.
    let length = unsafe { libc::recvmsg(socket, &raw mut message, 0) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel has filled in the message, whose parts still live.
    let to = unsafe { address_in(&message) };
    let to = to.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a datagram came without its address"))?;
    let ip = Ipv4Addr::from_bits(u32::from_be(from.sin_addr.s_addr));
    Ok((length, SocketAddrV4::new(ip, u16::from_be(from.sin_port)).into(), to.into()))
}

/// The address that a received message came to.
///
/// # Safety
/// The message must be one that `recvmsg` filled in, and its control messages must still live.
#[allow(unsafe_code, reason = "the kernel's list of control messages is walked by pointers")]
unsafe fn address_in(message: &libc::msghdr) -> Option<Ipv4Addr> {
    // SAFETY: by the contract above these macros stay within the control messages that the kernel wrote.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while let Some(found) = header.as_ref() {
            if (found.cmsg_level, found.cmsg_type) == (libc::IPPROTO_IP, libc::IP_PKTINFO) {
                let info: libc::in_pktinfo = libc::CMSG_DATA(found).cast::<libc::in_pktinfo>().read_unaligned();
                return Some(Ipv4Addr::from_bits(u32::from_be(info.ipi_spec_dst.s_addr)));
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
    None
}

#[allow(unsafe_code, reason = "control messages of this kind are in neither std nor rustix")]
fn send(socket: RawFd, data: &[u8], to: SocketAddrV4, from: Ipv4Addr) -> io::Result<()> {
    let address = |ip: Ipv4Addr| libc::in_addr { s_addr: ip.to_bits().to_be() };
    let mut name = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: to.port().to_be(),
        sin_addr: address(*to.ip()),
        sin_zero: [0; 8],
    };
    let info =
        libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: address(from), ipi_addr: address(Ipv4Addr::UNSPECIFIED) };
    let mut control: Control = [0; 8];
    let mut parts = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
    // SAFETY: a structure of numbers and pointers, for which zero is a value.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_name = (&raw mut name).cast();
    message.msg_namelen = length::<libc::sockaddr_in>();
    message.msg_iov = &raw mut parts;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    // SAFETY: the room is 64 bytes and one such message takes 28; the pointers are into that room; the data is only read;
    // and everything lives until after the call.
    let sent = unsafe {
        message.msg_controllen = libc::CMSG_SPACE(length::<libc::in_pktinfo>()) as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::IPPROTO_IP;
        (*header).cmsg_type = libc::IP_PKTINFO;
        (*header).cmsg_len = libc::CMSG_LEN(length::<libc::in_pktinfo>()) as _;
        libc::CMSG_DATA(header).cast::<libc::in_pktinfo>().write_unaligned(info);
        libc::sendmsg(socket, &raw const message, libc::MSG_NOSIGNAL)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
