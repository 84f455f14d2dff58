//! From bytes to frames.

use bytes::{Buf as _, Bytes, BytesMut};

use super::headers::Inflater;
use super::{FIN, Frame, SpdyError, VERSION, kind};

/// The longest control frame: compressed headers are the only long ones.
const CONTROL_LIMIT: usize = 64 << 10;
/// The first eight bytes of any frame.
const HEAD: usize = 8;

/// Takes bytes as they come, and gives the frames in them.
pub(crate) struct Decoder {
    buffer: BytesMut,
    /// A data frame whose end has not come yet.
    open: Option<OpenData>,
    inflater: Inflater,
}

struct OpenData {
    id: u32,
    fin: bool,
    left: usize,
}

impl Decoder {
    /// A decoder for a connection's first byte on.
    pub(crate) fn new() -> Self {
        Self { buffer: BytesMut::new(), open: None, inflater: Inflater::new() }
    }

    /// Adds received bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole control frame, or the next piece of data; `None` until more bytes come.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, SpdyError> {
        loop {
            if let Some(open) = self.open.take() {
                return Ok(self.data(open));
            }
            let Some(head) = self.buffer.first_chunk::<HEAD>().copied() else { return Ok(None) };
            let length = u32::from_be_bytes([0, head[5], head[6], head[7]]) as usize;
            let first = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
            if first >> 31 == 0 {
                self.buffer.advance(HEAD);
                self.open = Some(OpenData { id: first, fin: head[4] & FIN != 0, left: length });
                continue;
            }
            let (version, kind) = ((first >> 16 & 0x7fff) as u16, first as u16);
            if version != VERSION {
                return Err(SpdyError::Version(version));
            }
            if length > CONTROL_LIMIT {
                return Err(SpdyError::TooLong(length));
            }
            if self.buffer.len() < HEAD + length {
                return Ok(None);
            }
            self.buffer.advance(HEAD);
            let body = self.buffer.split_to(length).freeze();
            if let Some(frame) = self.control(kind, head[4] & FIN != 0, body)? {
                return Ok(Some(frame));
            }
        }
    }

    fn data(&mut self, mut open: OpenData) -> Option<Frame> {
        if open.left > 0 && self.buffer.is_empty() {
            self.open = Some(open);
            return None;
        }
        let bytes = self.buffer.split_to(open.left.min(self.buffer.len())).freeze();
        open.left -= bytes.len();
        let (id, fin) = (open.id, open.fin && open.left == 0);
        if open.left > 0 {
            self.open = Some(open);
        }
        Some(Frame::Data { id, fin, bytes })
    }

    fn control(&mut self, kind: u16, fin: bool, mut body: Bytes) -> Result<Option<Frame>, SpdyError> {
        let mut number = || match body.len() {
            4.. => Ok(body.get_u32() & 0x7fff_ffff),
            _ => Err(SpdyError::Short(kind)),
        };
        Ok(Some(match kind {
            kind::SYN_STREAM => {
                let (id, _associated) = (number()?, number()?);
                // Two bytes of priority and slot.
                let packed = body.get(2..).ok_or(SpdyError::Short(kind))?;
                Frame::SynStream { id, fin, headers: self.inflater.read(packed)? }
            }
            kind::SYN_REPLY => Frame::SynReply { id: number()?, fin, headers: self.inflater.read(&body)? },
            kind::HEADERS => Frame::Headers { id: number()?, fin, headers: self.inflater.read(&body)? },
            kind::RST_STREAM => Frame::Reset { id: number()?, status: number()? },
            kind::PING => Frame::Ping { id: number()? },
            kind::GOAWAY => Frame::GoAway { last: number()?, status: number()? },
            _ => return Ok(None),
        }))
    }
}
