//! The byte streams of a container: what `kubectl exec`, `attach`, `logs` and `port-forward` move.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::error::RuntimeError;

/// A reading end.
pub type ByteStream = Box<dyn AsyncRead + Send + Unpin>;

/// Pieces of a log, as the client of `pods/log` sees them.
pub type LogChunks = BoxStream<'static, io::Result<Bytes>>;

/// Bytes both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection into a pod.
pub type DuplexStream = Box<dyn Duplex>;

/// Which streams a client wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamSet {
    /// The client sends input.
    pub stdin: bool,
    /// The client wants the output.
    pub stdout: bool,
    /// The client wants the error output; never together with `tty`.
    pub stderr: bool,
    /// A terminal is between.
    pub tty: bool,
}

/// A program to run inside a running container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecRequest {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Streams of the client.
    pub streams: StreamSet,
}

/// Size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// A running exec or attach. Dropping it ends the exec'd program (not an attached container).
pub struct ExecSession {
    /// Input; dropping it is the end of the input.
    pub stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// Output, or everything with a terminal.
    pub stdout: Option<ByteStream>,
    /// Error output.
    pub stderr: Option<ByteStream>,
    /// Takes new sizes of the client's terminal. Bounded: a full queue may drop a size, never the last one sent later.
    pub resize: Option<mpsc::Sender<TerminalSize>>,
    /// Resolves to the exit code once the program ended. For `attach`: when the container ended.
    pub exit: BoxFuture<'static, Result<i32, RuntimeError>>,
}

impl fmt::Debug for ExecSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecSession")
            .field("stdin", &self.stdin.is_some())
            .field("stdout", &self.stdout.is_some())
            .field("stderr", &self.stderr.is_some())
            .finish_non_exhaustive()
    }
}

/// What an `exec_sync` left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecOutput {
    /// Output, cut at the runtime's limit.
    pub stdout: Vec<u8>,
    /// Error output, cut at the runtime's limit.
    pub stderr: Vec<u8>,
    /// Exit code.
    pub exit_code: i32,
}

/// Which part of a log, and how to show it: the query of `pods/log`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Keep sending until the container ends.
    pub follow: bool,
    /// Only the last n lines.
    pub tail_lines: Option<u64>,
    /// Only lines not older than this.
    pub since_time: Option<Timestamp>,
    /// Only lines not older than this, counted back from now.
    pub since: Option<Duration>,
    /// Put the time before each line.
    pub timestamps: bool,
    /// Stop after so many bytes.
    pub limit_bytes: Option<u64>,
    /// Only `stdout` or only `stderr`; both when unset.
    pub stream: Option<String>,
}
