//! SPDY/3.1 as far as Kubernetes uses it (`moby/spdystream`): streams with compressed headers, data, pings, resets. There are no
//! flow control windows: `spdystream` neither sends nor minds `WINDOW_UPDATE`, so TCP's own backpressure holds a sender.
//!
//! Source: SPDY protocol draft 3.1, <https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/>. Pure: bytes in, frames
//! out, and back.

mod decode;
mod dictionary;
mod encode;
mod headers;

pub(crate) use decode::Decoder;
pub(crate) use encode::Encoder;

use bytes::Bytes;

/// Names and values of a stream's headers; names in lower case, in order.
pub(crate) type Headers = Vec<(String, String)>;

/// A frame. Frames that carry nothing for us (`SETTINGS`, `WINDOW_UPDATE`) are left out by the decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    /// Opens a stream. `fin`: the sender will send nothing on it.
    SynStream { id: u32, fin: bool, headers: Headers },
    /// Accepts a stream.
    SynReply { id: u32, fin: bool, headers: Headers },
    /// Ends a stream at once, both ways.
    Reset { id: u32, status: u32 },
    /// Asks for the same back, when the number is of the sender's kind (odd: client).
    Ping { id: u32 },
    /// The sender accepts no more streams.
    GoAway { last: u32, status: u32 },
    /// More headers.
    Headers { id: u32, fin: bool, headers: Headers },
    /// A piece of a stream. The decoder gives large frames in several pieces; `fin` is on the last.
    Data { id: u32, fin: bool, bytes: Bytes },
}

/// `RST_STREAM`: a frame that does not fit the stream's state.
pub(crate) const PROTOCOL_ERROR: u32 = 1;
/// `RST_STREAM`: more streams than are allowed.
pub(crate) const REFUSED_STREAM: u32 = 3;

/// What a peer sent that is not SPDY, or too much of it. The connection cannot go on: the header compression is shared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SpdyError {
    /// Another version than 3.
    #[error("SPDY version {0} is not spoken here, 3 is")]
    Version(u16),
    /// A control frame that is longer than any sensible one.
    #[error("a control frame of {0} bytes is over the limit")]
    TooLong(usize),
    /// A frame whose length does not fit its type.
    #[error("a frame of type {0} is cut short")]
    Short(u16),
    /// Headers that do not decompress or read.
    #[error("stream headers do not read: {0}")]
    Headers(&'static str),
}

const VERSION: u16 = 3;
const FIN: u8 = 1;

mod kind {
    pub(super) const SYN_STREAM: u16 = 1;
    pub(super) const SYN_REPLY: u16 = 2;
    pub(super) const RST_STREAM: u16 = 3;
    pub(super) const PING: u16 = 6;
    pub(super) const GOAWAY: u16 = 7;
    pub(super) const HEADERS: u16 = 8;
}

#[cfg(test)]
mod tests;
