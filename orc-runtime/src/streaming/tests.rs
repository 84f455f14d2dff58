use bytes::Bytes;
use http::HeaderMap;
use orc_core::env::System;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::negotiate::{Protocol, Purpose, negotiate};
use super::remote::{Work, remote};
use super::spdy::{Decoder, Encoder, Frame};
use super::websocket::{self, Said};
use crate::runtime::{ExecSession, RuntimeError, StreamSet};

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(*name, value.parse().unwrap());
    }
    map
}

const SPDY: [(&str, &str); 2] = [("connection", "Upgrade"), ("upgrade", "SPDY/3.1")];
const SOCKET: [(&str, &str); 4] = [
    ("connection", "keep-alive, upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

#[test]
fn the_clients_first_known_protocol_is_taken() {
    let ask = |base: &[(&'static str, &'static str)], name, offers: &[&'static str], purpose| {
        let offers: Vec<_> = offers.iter().map(|offer| (name, *offer)).collect();
        negotiate(&headers(&[base, &offers].concat()), purpose)
    };
    let spdy = |offers: &[&'static str]| ask(&SPDY, "x-stream-protocol-version", offers, Purpose::Remote);
    let (protocol, answer) = spdy(&["v9.channel.k8s.io", "v4.channel.k8s.io, v5.channel.k8s.io"]).unwrap();
    assert_eq!(protocol, Protocol::Spdy { version: 4 });
    assert_eq!(
        (answer.status(), &answer.headers()["x-stream-protocol-version"]),
        (http::StatusCode::SWITCHING_PROTOCOLS, &"v4.channel.k8s.io".parse().unwrap())
    );
    assert_eq!(spdy(&[]).unwrap().0, Protocol::Spdy { version: 1 });
    assert_eq!(spdy(&["v9.channel.k8s.io"]).unwrap_err().code(), 403);

    let socket = |offers: &[&'static str], purpose| ask(&SOCKET, "sec-websocket-protocol", offers, purpose);
    let (protocol, answer) = socket(&["v5.channel.k8s.io,v4.channel.k8s.io"], Purpose::Remote).unwrap();
    assert_eq!(protocol, Protocol::Channels { base64: false, version: 5 });
    // The example of RFC 6455, section 1.3.
    assert_eq!(answer.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(socket(&["SPDY/3.1+portforward.k8s.io"], Purpose::Forward).unwrap().0, Protocol::Tunnel);
    assert_eq!(socket(&[], Purpose::Remote).unwrap().0, Protocol::Channels { base64: false, version: 1 });
    let token = ["base64url.bearer.authorization.k8s.io.abc", "base64.channel.k8s.io"];
    let browser = socket(&token, Purpose::Remote).unwrap().0;
    assert_eq!(browser, Protocol::Channels { base64: true, version: 1 });
    assert_eq!(negotiate(&HeaderMap::new(), Purpose::Remote).unwrap_err().message(), "Upgrade request required");
}

proptest! {
    #[test]
    fn any_message_is_read(message in proptest::collection::vec(any::<u8>(), 0..60), base64: bool, version in 1..6_u8) {
        let _ = websocket::read(&message.into(), base64, version);
    }

    #[test]
    fn messages_come_back(channel in 0..5_u8, bytes in proptest::collection::vec(any::<u8>(), 0..60), base64: bool) {
        let said = websocket::read(&websocket::write(channel, &bytes, base64), base64, 5);
        prop_assert_eq!(said, Some(Said::Data(channel, bytes.into())));
    }
}

#[test]
fn only_version_five_can_close_a_channel() {
    let message = Bytes::from_static(&[255, 0]);
    assert_eq!(websocket::read(&message, false, 5), Some(Said::Close(0)));
    assert_eq!(websocket::read(&message, false, 4), Some(Said::Data(255, Bytes::from_static(&[0]))));
    assert_eq!(websocket::read(&Bytes::from_static(&[255]), false, 5), None);
}

/// A program that sends its input back and ends with a code.
fn echo(code: i32) -> Work {
    let start = async move {
        let (stdin, mut reading) = tokio::io::duplex(64);
        let (mut writing, stdout) = tokio::io::duplex(64);
        let (ended, exit) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            tokio::io::copy(&mut reading, &mut writing).await.unwrap();
            writing.shutdown().await.unwrap();
            ended.send(code)
        });
        Ok(ExecSession {
            stdin: Some(Box::new(stdin)),
            stdout: Some(Box::new(stdout)),
            stderr: None,
            resize: None,
            exit: Box::pin(async move { exit.await.map_err(|_| RuntimeError::Invalid("dropped".to_owned())) }),
        })
    };
    let streams = StreamSet { stdin: true, stdout: true, ..StreamSet::default() };
    Work { start: Box::pin(start), command: Some(vec!["echo".to_owned()]), streams }
}

/// A SPDY client opens its streams, sends, ends its input, and reads to the end.
#[tokio::test(start_paused = true)]
async fn a_command_runs_over_spdy() {
    let clock = System::real().clock;
    let (ours, theirs) = tokio::io::duplex(256);
    let serving = tokio::spawn(remote(Box::new(theirs), Protocol::Spdy { version: 4 }, echo(3), clock));
    let (mut reading, mut writing) = tokio::io::split(ours);
    let mut encoder = Encoder::new();
    let open = [(1, "error"), (3, "stdin"), (5, "stdout")].map(|(id, kind)| Frame::SynStream {
        id,
        fin: false,
        headers: vec![("streamtype".to_owned(), kind.to_owned())],
    });
    let input = Bytes::from(vec![b'x'; 5000]);
    let said = [Frame::Data { id: 3, fin: true, bytes: input.clone() }, Frame::Ping { id: 1 }];
    let bytes: Vec<u8> = open.iter().chain(&said).flat_map(|frame| encoder.encode(frame)).collect();
    let sending = tokio::spawn(async move {
        writing.write_all(&bytes).await.unwrap();
        writing
    });
    let mut received = Vec::new();
    reading.read_to_end(&mut received).await.unwrap();
    serving.await.unwrap();
    drop(sending.await.unwrap());
    let mut decoder = Decoder::new();
    decoder.push(&received);
    let mut frames = Vec::new();
    while let Some(frame) = decoder.next().unwrap() {
        frames.push(frame);
    }
    let of = |wanted: u32| -> Vec<u8> {
        let data = frames.iter().filter_map(|frame| match frame {
            Frame::Data { id, bytes, .. } if *id == wanted => Some(bytes.to_vec()),
            _ => None,
        });
        data.flatten().collect()
    };
    assert!(of(5) == input, "the input came back");
    let status: serde_json::Value = serde_json::from_slice(&of(1)).unwrap();
    assert_eq!(status["details"]["causes"][0]["message"], "3", "{status}");
    for id in [1, 3, 5] {
        let reply = |frame: &Frame| matches!(frame, Frame::SynReply { id: own, .. } if *own == id);
        assert_eq!(frames.iter().filter(|frame| reply(frame)).count(), 1, "stream {id}");
    }
    assert!(frames.contains(&Frame::Ping { id: 1 }), "a ping is answered");
}

/// A client that leaves takes the session with it.
#[tokio::test(start_paused = true)]
async fn a_session_ends_with_its_client() {
    let clock = System::real().clock;
    for nonsense in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", &[0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff]] {
        let (mut ours, theirs) = tokio::io::duplex(256);
        let serving = tokio::spawn(remote(Box::new(theirs), Protocol::Spdy { version: 4 }, echo(0), clock.clone()));
        ours.write_all(nonsense).await.unwrap();
        drop(ours);
        serving.await.unwrap();
    }
}
