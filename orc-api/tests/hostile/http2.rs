//! Floods of HTTP/2 frames: whoever sends them is cut off, and others are served.

use orc_api::testing::Listening;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::{MAPS, ask, connect, in_time, start};

const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `GET path` in HPACK: three entries of the static table, and literals that are not kept.
fn get(path: &str) -> Vec<u8> {
    let literal = |name: u8, value: &str| [&[name, value.len() as u8], value.as_bytes()].concat();
    [vec![0x82, 0x87], literal(0x04, path), literal(0x01, "a")].concat()
}

async fn open(to: &Listening) -> TlsStream<TcpStream> {
    let mut stream = connect(to, b"h2").await;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    stream
}

/// Sends the same bytes again and again until the server ends the connection, or so many times. Whether it told so (`GOAWAY`).
async fn flood(to: &Listening, times: u32, piece: impl Fn(u32) -> Vec<u8>) -> bool {
    let (mut read, mut write) = tokio::io::split(open(to).await);
    let writing = async {
        for number in 0..times {
            if write.write_all(&piece(number)).await.is_err() {
                break;
            }
        }
        let _ = write.shutdown().await;
    };
    let mut said = Vec::new();
    in_time("the end of a flood", async { tokio::join!(writing, read.read_to_end(&mut said)).1.ok() }).await;
    goes_away(&said)
}

fn goes_away(mut said: &[u8]) -> bool {
    while let Some((head, rest)) = said.split_first_chunk::<9>() {
        if head[3] == GO_AWAY {
            // The last stream, then why: anything but "no error".
            return rest.get(4..8).is_some_and(|code| code != [0; 4]);
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        said = rest.get(length..).unwrap_or_default();
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_are_cut_off() {
    let (_server, to) = start().await;
    let stream = |number: u32| number * 2 + 1;
    // CVE-2023-44487: requests that are taken back at once.
    let reset = flood(&to, 20_000, |number| {
        let asked = frame(HEADERS, END_STREAM | END_HEADERS, stream(number), &get(MAPS));
        [asked, frame(RESET, 0, stream(number), &8_u32.to_be_bytes())].concat()
    });
    assert!(reset.await, "rapid reset");
    // CVE-2024-27316: a header that does not end.
    let headers = flood(&to, 20_000, |number| match number {
        0 => frame(HEADERS, 0, 1, &get(MAPS)),
        _ => frame(CONTINUATION, 0, 1, &[&[0, 1, b'x', 127, 73][..], &[b'y'; 200]].concat()),
    });
    assert!(headers.await, "headers without end");
    assert!(flood(&to, 1, |_| frame(SETTINGS, 0, 0, &[0; 5])).await, "a broken frame");
    assert!(flood(&to, 1, |_| frame(HEADERS, END_HEADERS, 2, &get(MAPS))).await, "a stream of the server's");
    assert_eq!(ask(&to, "GET", MAPS, "application/json", b"").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn others_are_served_during_a_flood() {
    let (_server, to) = start().await;
    // Ten thousand pings and as many requests; nobody reads the answers.
    let mut stream = open(&to).await;
    let asks = frame(HEADERS, END_STREAM | END_HEADERS, 1, &get(MAPS));
    let pings = frame(PING, 0, 0, &[0; 8]).repeat(100);
    let flooding = async {
        let _ = stream.write_all(&asks).await;
        for _ in 0..100 {
            if stream.write_all(&pings).await.is_err() {
                break;
            }
        }
    };
    let asking = async {
        for _ in 0..20 {
            assert_eq!(ask(&to, "GET", MAPS, "application/json", b"").await.0, 200);
        }
    };
    tokio::select! {
        biased;
        () = in_time("requests beside a flood", asking) => {}
        () = async { flooding.await; std::future::pending().await } => {}
    }
}
