//! The decoders of streams as functions of bytes: see [`orc_core::fuzzing`].

use bytes::Bytes;
use orc_core::fuzzing::{Target, choice};

use super::spdy::{Decoder, Encoder, Frame};
use super::websocket::{self, Said};

/// Every decoder of this crate.
pub const TARGETS: &[Target] = &[
    Target { name: "spdy_frames", run: spdy_frames, seeds: connections },
    Target { name: "websocket_channels", run: websocket_channels, seeds: messages },
];

/// Connections of each kind of frame; the first byte says in how large pieces they come.
fn connections() -> Vec<Vec<u8>> {
    let headers = || vec![("streamtype".to_owned(), "stdin".to_owned()), ("port".to_owned(), "80".to_owned())];
    let frames = [
        Frame::SynStream { id: 1, fin: false, headers: headers() },
        Frame::SynReply { id: 1, fin: false, headers: Vec::new() },
        Frame::Headers { id: 1, fin: false, headers: headers() },
        Frame::Data { id: 1, fin: true, bytes: Bytes::from_static(b"hello") },
        Frame::Ping { id: 1 },
        Frame::Reset { id: 1, status: 1 },
        Frame::GoAway { last: 1, status: 0 },
    ];
    let mut encoder = Encoder::new();
    let all: Vec<u8> = frames.iter().flat_map(|frame| encoder.encode(frame)).collect();
    let each = frames.iter().map(|frame| [&[255], Encoder::new().encode(frame).as_ref()].concat());
    each.chain([[&[7], all.as_slice()].concat()]).collect()
}

/// Bytes are frames or an error, and the same whatever their pieces; data is no more than what came.
fn spdy_frames(bytes: &[u8]) {
    let (piece, sent) = choice(bytes);
    let (whole, cut) = (decode(sent, sent.len()), decode(sent, piece));
    assert_eq!(whole.0, cut.0, "the data is the same");
    assert_eq!(whole.1, cut.1, "the number of other frames is the same");
    assert!(whole.0.len() <= sent.len());
}

/// All data, and how many other frames there were before the end or an error.
fn decode(bytes: &[u8], piece: usize) -> (Vec<u8>, usize) {
    let (mut decoder, mut data, mut others) = (Decoder::new(), Vec::new(), 0);
    for part in bytes.chunks(piece.max(1)) {
        decoder.push(part);
        loop {
            match decoder.next() {
                Ok(Some(Frame::Data { bytes, .. })) => data.extend_from_slice(&bytes),
                Ok(Some(_)) => others += 1,
                Ok(None) => break,
                Err(_) => return (data, others),
            }
        }
    }
    (data, others)
}

fn messages() -> Vec<Vec<u8>> {
    [&b"\x00\x01hello"[..], b"\x05\xff\x00", b"\x040aGVsbG8=", b"\x84{\"Width\":80,\"Height\":24}"]
        .map(<[u8]>::to_vec)
        .into()
}

/// A message that says something is written as it was read.
fn websocket_channels(bytes: &[u8]) {
    let (mode, message) = choice(bytes);
    let (base64, version) = (mode & 128 != 0, (mode & 7) as u8);
    if let Some(Said::Data(channel, data)) = websocket::read(&Bytes::copy_from_slice(message), base64, version)
        && channel < 10
    {
        let again = websocket::read(&websocket::write(channel, &data, base64), base64, version);
        assert_eq!(again, Some(Said::Data(channel, data)));
    }
}
