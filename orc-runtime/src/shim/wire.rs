//! Messages and descriptors over a unix socket.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::protocol::MESSAGE_LIMIT;

/// Bytes taken from a socket at once.
const CHUNK: usize = 4096;
/// Most descriptors in one message.
const FDS: usize = 3;

/// One message with its length before it.
pub(crate) fn frame<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let body = serde_json::to_vec(message)?;
    let mut out = Vec::with_capacity(body.len() + 4);
    out.extend_from_slice(&(body.len() as u32).to_be_bytes());
    out.extend_from_slice(&body);
    Ok(out)
}

/// Takes one message from the front of `buffer`, if it is there whole.
pub(crate) fn unframe<T: DeserializeOwned>(buffer: &mut Vec<u8>) -> io::Result<Option<T>> {
    let Some(head) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*head) as usize;
    if length > MESSAGE_LIMIT {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message of {length} bytes")));
    }
    if buffer.len() < length + 4 {
        return Ok(None);
    }
    let message = serde_json::from_slice(&buffer[4..length + 4])?;
    buffer.drain(..length + 4);
    Ok(Some(message))
}

/// Sends all bytes; the descriptors go with the first of them.
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors for one message"));
    }
    let mut sent = retry(|| sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL))?;
    let mut empty = SendAncillaryBuffer::default();
    while sent < bytes.len() {
        sent += retry(|| sendmsg(socket, &[IoSlice::new(&bytes[sent..])], &mut empty, SendFlags::NOSIGNAL))?;
    }
    Ok(())
}

/// Receives what is there: appends bytes and descriptors. `Ok(0)`: the peer closed.
pub(crate) fn receive(socket: BorrowedFd<'_>, bytes: &mut Vec<u8>, fds: &mut Vec<OwnedFd>) -> io::Result<usize> {
    receive_at_most(CHUNK, socket, bytes, fds)
}

fn receive_at_most(
    limit: usize,
    socket: BorrowedFd<'_>,
    bytes: &mut Vec<u8>,
    fds: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut chunk = [0u8; CHUNK];
    let chunk = &mut chunk[..limit.min(CHUNK)];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = retry(|| recvmsg(socket, &mut [IoSliceMut::new(chunk)], &mut control, RecvFlags::CMSG_CLOEXEC))?;
    bytes.extend_from_slice(&chunk[..got.bytes]);
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    Ok(got.bytes)
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.map_err(Into::into),
        }
    }
}

/// Waits for one whole message and takes no byte beyond it: the next one may be somebody else's to read.
pub(crate) fn receive_message<T: DeserializeOwned>(socket: BorrowedFd<'_>, fds: &mut Vec<OwnedFd>) -> io::Result<T> {
    let mut buffer = Vec::new();
    loop {
        let missing = match buffer.first_chunk::<4>() {
            Some(head) => 4 + (u32::from_be_bytes(*head) as usize).min(MESSAGE_LIMIT + 1) - buffer.len(),
            None => 4 - buffer.len(),
        };
        if missing > 0 && receive_at_most(missing, socket, &mut buffer, fds)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(message) = unframe(&mut buffer)? {
            return Ok(message);
        }
    }
}

/// A socket's address has room for 108 bytes; a directory's descriptor makes any path short.
fn short(dir: &impl AsFd, name: &str) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}/{name}", dir.as_fd().as_raw_fd())
}

/// Listens on `dir/name`, whatever the length of `dir`.
pub(crate) fn listen(dir: &Path, name: &str) -> io::Result<UnixListener> {
    let _ = std::fs::remove_file(dir.join(name));
    let handle = std::fs::File::open(dir)?;
    UnixListener::bind(short(&handle, name))
}

/// Connects to `dir/name`.
pub(crate) fn connect(dir: &Path, name: &str) -> io::Result<UnixStream> {
    let handle = std::fs::File::open(dir)?;
    UnixStream::connect(short(&handle, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn a_message_comes_apart_at_any_byte() {
        let bytes = [frame(&"one").unwrap(), frame(&"two").unwrap()].concat();
        for cut in 0..bytes.len() {
            let mut buffer = bytes[..cut].to_vec();
            let mut got: Vec<String> = Vec::new();
            while let Some(message) = unframe(&mut buffer).unwrap() {
                got.push(message);
            }
            buffer.extend_from_slice(&bytes[cut..]);
            while let Some(message) = unframe(&mut buffer).unwrap() {
                got.push(message);
            }
            assert_eq!(got, ["one", "two"]);
        }
    }

    #[test]
    fn a_giant_length_is_refused() {
        let mut buffer = vec![0xff; 8];
        assert!(unframe::<String>(&mut buffer).is_err());
    }

    #[test]
    fn one_message_is_taken_and_the_next_left() {
        let (left, mut right) = UnixStream::pair().unwrap();
        let long = "x".repeat(10_000);
        let bytes = [frame(&long).unwrap(), frame(&"next").unwrap()].concat();
        send(left.as_fd(), &bytes, &[]).unwrap();
        drop(left);
        assert_eq!(receive_message::<String>(right.as_fd(), &mut Vec::new()).unwrap(), long);
        let mut rest = Vec::new();
        right.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, frame(&"next").unwrap());
    }

    #[test]
    fn descriptors_arrive_with_the_message() {
        let (left, right) = UnixStream::pair().unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        send(left.as_fd(), &frame(&7u8).unwrap(), &[writer.as_fd()]).unwrap();
        drop(writer);
        let mut fds = Vec::new();
        assert_eq!(receive_message::<u8>(right.as_fd(), &mut fds).unwrap(), 7);
        std::fs::File::from(fds.pop().unwrap()).write_all(b"x").unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
    }
}
