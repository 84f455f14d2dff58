//! A connection whose first bytes have come.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// The length of HTTP/2's connection preface (RFC 9113, section 3.4).
pub(super) const PREFACE: usize = 24;

/// A stream that gives its first bytes once more.
pub(super) struct Begun<S> {
    first: [u8; PREFACE],
    /// Which of the first bytes are still to be given.
    left: std::ops::Range<usize>,
    stream: S,
}

impl<S: AsyncRead + Unpin> Begun<S> {
    /// Waits for so many bytes, at most [`PREFACE`].
    ///
    /// # Errors
    /// When the stream ends before.
    pub(super) async fn read(mut stream: S, bytes: usize) -> io::Result<Self> {
        let mut first = [0; PREFACE];
        stream.read_exact(&mut first[..bytes]).await?;
        Ok(Self { first, left: 0..bytes, stream })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Begun<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.left.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let count = self.left.len().min(buf.remaining());
        let from = self.left.start;
        buf.put_slice(&self.first[from..from + count]);
        self.left.start += count;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Begun<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
