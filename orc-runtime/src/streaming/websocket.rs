//! Channels in WebSocket messages: a byte that names the channel, then its bytes; or, in the base64 protocols, a digit and
//! base64. Pure. Source: `k8s.io/apimachinery/pkg/util/httpstream/wsstream`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut as _, Bytes, BytesMut};

/// Since `v5.channel.k8s.io`: the next byte names a channel whose sender is done.
const CLOSE: u8 = 255;

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// Bytes of a channel.
    Data(u8, Bytes),
    /// The sender is done with a channel.
    Close(u8),
}

/// Reads a message. `None`: it says nothing (empty, or not readable as text of its protocol), and is passed over as
/// Kubernetes does.
pub(super) fn read(message: &Bytes, base64: bool, version: u8) -> Option<Said> {
    let first = *message.first()?;
    if !base64 {
        let rest = message.slice(1..);
        return match (first, rest.first()) {
            (CLOSE, Some(channel)) if version >= 5 => Some(Said::Close(*channel)),
            (CLOSE, None) if version >= 5 => None,
            _ => Some(Said::Data(first, rest)),
        };
    }
    let channel = first.checked_sub(b'0')?;
    Some(Said::Data(channel, STANDARD.decode(&message[1..]).ok()?.into()))
}

/// Writes a message.
pub(super) fn write(channel: u8, bytes: &[u8], base64: bool) -> Bytes {
    let mut out = BytesMut::with_capacity(bytes.len() + 1);
    if base64 {
        out.put_u8(b'0' + channel);
        out.put_slice(STANDARD.encode(bytes).as_bytes());
    } else {
        out.put_u8(channel);
        out.put_slice(bytes);
    }
    out.freeze()
}
