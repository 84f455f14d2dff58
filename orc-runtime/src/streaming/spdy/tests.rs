use bytes::Bytes;
use proptest::prelude::*;

use super::*;

/// Decodes bytes given in pieces; joins the pieces of data frames.
fn decode(bytes: &[u8], piece: usize) -> Result<Vec<Frame>, SpdyError> {
    let mut decoder = Decoder::new();
    let mut frames: Vec<Frame> = Vec::new();
    for part in bytes.chunks(piece.max(1)) {
        decoder.push(part);
        while let Some(frame) = decoder.next()? {
            match (frames.last_mut(), frame) {
                (Some(Frame::Data { id, fin, bytes }), Frame::Data { id: same, fin: end, bytes: more })
                    if *id == same && !*fin =>
                {
                    *bytes = [bytes.as_ref(), more.as_ref()].concat().into();
                    *fin = end;
                }
                (_, frame) => frames.push(frame),
            }
        }
    }
    Ok(frames)
}

fn encode(frames: &[Frame]) -> Vec<u8> {
    let mut encoder = Encoder::new();
    frames.iter().flat_map(|frame| encoder.encode(frame)).collect()
}

fn frame() -> impl Strategy<Value = Frame> {
    let id = 1..0x7fff_ffff_u32;
    let headers = || proptest::collection::vec(("[a-z-]{1,12}", "[ -~]{0,40}"), 0..6);
    prop_oneof![
        (id.clone(), any::<bool>(), headers()).prop_map(|(id, fin, headers)| Frame::SynStream { id, fin, headers }),
        (id.clone(), any::<bool>(), headers()).prop_map(|(id, fin, headers)| Frame::SynReply { id, fin, headers }),
        (id.clone(), any::<bool>(), headers()).prop_map(|(id, fin, headers)| Frame::Headers { id, fin, headers }),
        (id.clone(), 1..11_u32).prop_map(|(id, status)| Frame::Reset { id, status }),
        id.clone().prop_map(|id| Frame::Ping { id }),
        (id.clone(), 0..3_u32).prop_map(|(last, status)| Frame::GoAway { last, status }),
        (id, proptest::collection::vec(any::<u8>(), 0..300)).prop_map(|(id, bytes)| Frame::Data {
            id,
            fin: true,
            bytes: bytes.into()
        }),
    ]
}

proptest! {
    #[test]
    fn frames_come_back_whatever_the_cuts(frames in proptest::collection::vec(frame(), 0..8), piece in 1..40_usize) {
        prop_assert_eq!(decode(&encode(&frames), piece).unwrap(), frames);
    }

    #[test]
    fn any_bytes_are_frames_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..600), piece in 1..64_usize) {
        let _ = decode(&bytes, piece);
    }

    /// Bytes that begin as a control frame with headers, so that the inflater is reached.
    #[test]
    fn broken_headers_are_an_error_or_frames(kind in 1..9_u16, body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = vec![0x80, 3];
        bytes.extend(kind.to_be_bytes());
        bytes.extend((body.len() as u32).to_be_bytes());
        bytes.extend(body);
        let _ = decode(&bytes, 1000);
    }

    /// One flipped byte of a good connection.
    #[test]
    fn a_flipped_byte_does_no_harm(frames in proptest::collection::vec(frame(), 1..5), at in any::<usize>(), with in 1..=255_u8) {
        let mut bytes = encode(&frames);
        let at = at % bytes.len();
        bytes[at] ^= with;
        let _ = decode(&bytes, 33);
    }
}

#[test]
fn long_data_is_cut_and_long_control_frames_are_refused() {
    let long = Frame::Data { id: 1, fin: true, bytes: Bytes::from(vec![7; 100_000]) };
    assert_eq!(decode(&encode(std::slice::from_ref(&long)), 4096).unwrap(), [long]);
    let head = [0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff];
    assert_eq!(decode(&head, 8), Err(SpdyError::TooLong(0xff_ffff)));
    assert_eq!(decode(&[0x80, 2, 0, 1, 0, 0, 0, 0], 8), Err(SpdyError::Version(2)));
}

#[test]
fn headers_that_explode_are_refused() {
    let headers = vec![("a".to_owned(), "x".repeat(200_000))];
    let bytes = encode(&[Frame::SynStream { id: 1, fin: false, headers }]);
    assert!(bytes.len() < 10_000, "{}", bytes.len());
    assert_eq!(decode(&bytes, 1000), Err(SpdyError::Headers("they are over the limit")));
}

#[test]
fn ping_and_data_have_the_documented_form() {
    assert_eq!(encode(&[Frame::Ping { id: 1 }]), [0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1]);
    let data = Frame::Data { id: 5, fin: true, bytes: Bytes::from_static(b"hi") };
    assert_eq!(encode(&[data]), [0, 0, 0, 5, 1, 0, 0, 2, b'h', b'i']);
}
