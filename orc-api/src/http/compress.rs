//! Long answers in gzip, for clients that accept it.
//!
//! As kube-apiserver: answers about resources above 128 KiB, at the fastest level, since the network is seldom the bound. Watches
//! are not compressed: an event must not wait in a compressor.

use std::io::Write as _;

use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::{StreamExt as _, stream};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue, VARY};
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyDataStream, BodyExt as _, StreamBody};

use super::{Body, BoxError, respond};

/// Shorter answers are not worth it (`defaultGzipThresholdBytes`).
const WORTH: usize = 128 << 10;

/// Whether a client accepts gzip.
pub(super) fn accepts(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        named && !parts.any(|weight| matches!(weight, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

/// Compresses an answer when it is long. Reads as much of it as tells.
pub(super) async fn when_long(response: Response<Body>) -> Response<Body> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS || response.headers().contains_key(CONTENT_ENCODING) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let (mut frames, mut start) = (body.into_data_stream(), BytesMut::new());
    while start.len() <= WORTH {
        match frames.next().await {
            Some(Ok(data)) => start.extend_from_slice(&data),
            None => return Response::from_parts(parts, respond::full(start.freeze())),
            Some(Err(error)) => {
                let broken = stream::iter([Ok(start.freeze()), Err(error)]).map(|part| part.map(Frame::data));
                return Response::from_parts(parts, StreamBody::new(broken).boxed_unsync());
            }
        }
    }
    parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    let zipped = stream::unfold(Some(Zipping::new(start.freeze(), frames)), Zipping::next);
    Response::from_parts(parts, StreamBody::new(zipped).boxed_unsync())
}

struct Zipping {
    start: Option<Bytes>,
    rest: BodyDataStream<Body>,
    gzip: GzEncoder<Vec<u8>>,
}

impl Zipping {
    fn new(start: Bytes, rest: BodyDataStream<Body>) -> Self {
        Self { start: Some(start), rest, gzip: GzEncoder::new(Vec::new(), Compression::fast()) }
    }

    async fn next(state: Option<Self>) -> Option<(Result<Frame<Bytes>, BoxError>, Option<Self>)> {
        let mut state = state?;
        loop {
            let part = match state.start.take() {
                Some(start) => Some(Ok(start)),
                None => state.rest.next().await,
            };
            match part {
                Some(Ok(data)) => {
                    if let Err(error) = state.gzip.write_all(&data) {
                        return Some((Err(error.into()), None));
                    }
                    let made = std::mem::take(state.gzip.get_mut());
                    if !made.is_empty() {
                        return Some((Ok(Frame::data(made.into())), Some(state)));
                    }
                }
                Some(Err(error)) => return Some((Err(error), None)),
                None => {
                    let end = state.gzip.finish().map(|made| Frame::data(made.into())).map_err(BoxError::from);
                    return Some((end, None));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn headers(accepted: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(accepted))])
    }

    #[test]
    fn gzip_is_found_among_what_is_accepted() {
        assert!(accepts(&headers("gzip")) && accepts(&headers("deflate, GZIP;q=0.5")));
        assert!(!accepts(&headers("gzip;q=0, br")) && !accepts(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn long_answers_are_compressed_and_short_ones_are_not() {
        let text: Vec<u8> = (0..400_000_u32).map(|n| b'a' + (n % 17) as u8).collect();
        let parts = text.chunks(50_000).map(Bytes::copy_from_slice).collect();
        let response = when_long(Response::new(respond::slices(parts))).await;
        assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
        let zipped = response.into_body().collect().await.unwrap().to_bytes();
        assert!(zipped.len() < text.len() / 10);
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&zipped[..]).read_to_end(&mut plain).unwrap();
        assert!(plain == text);
        let short = when_long(Response::new(respond::full("short"))).await;
        assert!(!short.headers().contains_key(CONTENT_ENCODING));
        assert_eq!(short.into_body().collect().await.unwrap().to_bytes(), "short");
    }
}
