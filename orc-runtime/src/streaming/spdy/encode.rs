//! From frames to bytes.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::headers::Deflater;
use super::{FIN, Frame, Headers, VERSION, kind};

/// The longest data frame that is written; the format allows 16 MiB, but a frame cannot be interrupted by another stream's.
const PIECE: usize = 32 << 10;

/// Turns frames into bytes. Headers are compressed in the order of the calls, which must be the order on the wire.
pub(crate) struct Encoder(Deflater);

impl Encoder {
    /// An encoder for a connection's first byte on.
    pub(crate) fn new() -> Self {
        Self(Deflater::new())
    }

    /// The bytes of a frame; long data becomes several frames.
    pub(crate) fn encode(&mut self, frame: &Frame) -> Bytes {
        let mut out = BytesMut::new();
        match frame {
            Frame::SynStream { id, fin, headers } => {
                let packed = self.0.write(headers);
                control(&mut out, kind::SYN_STREAM, *fin, packed.len() + 10);
                out.put_u32(*id);
                out.put_u32(0);
                out.put_u16(0);
                out.put_slice(&packed);
            }
            Frame::SynReply { id, fin, headers } => self.named(&mut out, kind::SYN_REPLY, *id, *fin, headers),
            Frame::Headers { id, fin, headers } => self.named(&mut out, kind::HEADERS, *id, *fin, headers),
            Frame::Reset { id, status } => numbers(&mut out, kind::RST_STREAM, &[*id, *status]),
            Frame::Ping { id } => numbers(&mut out, kind::PING, &[*id]),
            Frame::GoAway { last, status } => numbers(&mut out, kind::GOAWAY, &[*last, *status]),
            Frame::Data { id, fin, bytes } => data(&mut out, *id, *fin, bytes),
        }
        out.freeze()
    }

    fn named(&mut self, out: &mut BytesMut, kind: u16, id: u32, fin: bool, headers: &Headers) {
        let packed = self.0.write(headers);
        control(out, kind, fin, packed.len() + 4);
        out.put_u32(id);
        out.put_slice(&packed);
    }
}

fn control(out: &mut BytesMut, kind: u16, fin: bool, length: usize) {
    out.put_u16(0x8000 | VERSION);
    out.put_u16(kind);
    out.put_u32(u32::from(if fin { FIN } else { 0 }) << 24 | length as u32);
}

fn numbers(out: &mut BytesMut, kind: u16, values: &[u32]) {
    control(out, kind, false, values.len() * 4);
    values.iter().for_each(|value| out.put_u32(*value));
}

fn data(out: &mut BytesMut, id: u32, fin: bool, bytes: &[u8]) {
    let mut rest = bytes;
    loop {
        let (piece, after) = rest.split_at(rest.len().min(PIECE));
        rest = after;
        let last = fin && rest.is_empty();
        out.put_u32(id & 0x7fff_ffff);
        out.put_u32(u32::from(if last { FIN } else { 0 }) << 24 | piece.len() as u32);
        out.put_slice(piece);
        if rest.is_empty() {
            return;
        }
    }
}
