//! JSON on lines of their own, for people: `?pretty=true`, `Accept: application/json;pretty=1`, and clients that show what they get.
//!
//! The form is that of Go's `MarshalIndent` with two blanks, which is also serde_json's. A body is turned over while it passes, so that a long
//! list stays as small in memory as it was.

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::Response;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, USER_AGENT};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};

use super::Body;
use super::query::Query;

/// The beginnings of `User-Agent` of clients that people read (kube-apiserver's `isPrettyPrint`).
const HUMANS: [&str; 3] = ["curl", "Wget", "Mozilla/5.0"];

/// Whether somebody will read the answer.
pub(super) fn asked(headers: &HeaderMap, query: &Query) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let accepts = text(ACCEPT).split(';').skip(1).any(|part| {
        let part = part.split(',').next().unwrap_or_default().trim();
        part == "pretty=1" || part == "pretty=true"
    });
    match query.get("pretty") {
        Some(said) => accepts || matches!(said, "1" | "t" | "T" | "true" | "TRUE" | "True"),
        None => accepts || HUMANS.iter().any(|human| text(USER_AGENT).starts_with(human)),
    }
}

/// The same answer with its JSON on lines of their own; other answers stay as they are.
pub(super) fn finished(response: Response<Body>) -> Response<Body> {
    if response.headers().get(CONTENT_TYPE).is_none_or(|value| value != "application/json") {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    let mut lines = Lines::default();
    let turned = body.into_data_stream().map(move |part| part.map(|bytes| Frame::data(lines.take(&bytes))));
    Response::from_parts(parts, StreamBody::new(turned).boxed_unsync())
}

/// Where in a document the next byte stands.
#[derive(Default)]
struct Lines {
    depth: usize,
    place: Place,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Between texts.
    #[default]
    Between,
    /// Behind an opening bracket of which it is not known whether anything is in it.
    Opened,
    /// In a text; after a backslash in it.
    Text { escaped: bool },
}

impl Lines {
    /// The next bytes of a valid document, turned over.
    fn take(&mut self, bytes: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(bytes.len() + bytes.len() / 2);
        for &byte in bytes {
            self.one(byte, &mut out);
        }
        out.freeze()
    }

    fn one(&mut self, byte: u8, out: &mut BytesMut) {
        if let Place::Text { escaped } = self.place {
            out.extend_from_slice(&[byte]);
            self.place = match byte {
                b'"' if !escaped => Place::Between,
                b'\\' => Place::Text { escaped: !escaped },
                _ => Place::Text { escaped: false },
            };
            return;
        }
        if byte.is_ascii_whitespace() {
            return;
        }
        let opened = std::mem::take(&mut self.place) == Place::Opened;
        match byte {
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if !opened {
                    self.line(out);
                }
            }
            _ if opened => self.line(out),
            _ => {}
        }
        out.extend_from_slice(&[byte]);
        match byte {
            b'{' | b'[' => {
                self.depth += 1;
                self.place = Place::Opened;
            }
            b',' => self.line(out),
            b':' => out.extend_from_slice(b" "),
            b'"' => self.place = Place::Text { escaped: false },
            _ => {}
        }
    }

    fn line(&self, out: &mut BytesMut) {
        out.extend_from_slice(b"\n");
        for _ in 0..self.depth {
            out.extend_from_slice(b"  ");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn headers(name: http::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, http::HeaderValue::from_static(value))])
    }

    #[test]
    fn people_are_known_by_their_clients() {
        let (none, yes, no) = (Query::parse(None), Query::parse(Some("pretty=true")), Query::parse(Some("pretty=0")));
        assert!(asked(&headers(USER_AGENT, "curl/8.5.0"), &none));
        assert!(!asked(&headers(USER_AGENT, "curl/8.5.0"), &no));
        assert!(!asked(&headers(USER_AGENT, "kubectl/v1.36.0"), &none));
        assert!(asked(&headers(USER_AGENT, "kubectl/v1.36.0"), &yes));
        assert!(asked(&headers(ACCEPT, "application/json;pretty=1, */*"), &none));
        assert!(!asked(&headers(ACCEPT, "application/json"), &none));
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z\"\\\\{}\\[\\],: \n]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[a-z\"\\\\{,: ]{0,6}", inner, 0..5).prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_is_what_an_encoder_writes(value in any_value(), cut in 1_usize..9) {
            let plain = serde_json::to_vec(&value).unwrap();
            let mut lines = Lines::default();
            let turned: Vec<u8> = plain.chunks(cut).flat_map(|part| lines.take(part).to_vec()).collect();
            prop_assert_eq!(String::from_utf8(turned.clone()).unwrap(), serde_json::to_string_pretty(&value).unwrap());
            prop_assert_eq!(Lines::default().take(&turned).to_vec(), turned, "and stays as it is when it is turned over again");
        }
    }
}
