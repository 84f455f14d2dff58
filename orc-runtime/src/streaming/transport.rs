//! Bytes from and to a client: as they are, or as the messages of a WebSocket.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use orc_core::env::Clock;
use orc_store::dialer::Duplex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// The caller's end of an upgraded connection.
pub(crate) type Connection = Box<dyn Duplex>;
type Socket = WebSocketStream<Connection>;

/// The largest WebSocket message; clients send a few KiB at a time.
const MESSAGE_LIMIT: usize = 4 << 20;
const CHUNK: usize = 32 << 10;
/// A quiet client is asked whether it is there: a connection whose peer vanished fails only when something is sent.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Counts what moves on a connection, for the idle limit. Pings do not count.
#[derive(Clone, Default)]
pub(super) struct Activity(Arc<AtomicU64>);

impl Activity {
    fn mark(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

enum Reading {
    Plain(ReadHalf<Connection>),
    Messages(SplitStream<Socket>),
}

enum Writing {
    Plain(WriteHalf<Connection>),
    Messages { sink: SplitSink<Socket, Message>, text: bool },
}

/// The receiving half.
pub(super) struct Source {
    from: Reading,
    activity: Activity,
}

/// The sending half.
pub(super) struct Sink {
    to: Writing,
    activity: Activity,
}

/// A connection whose bytes are taken as they are.
pub(super) fn plain(connection: Connection) -> (Source, Sink, Activity) {
    let (from, to) = tokio::io::split(connection);
    halves(Reading::Plain(from), Writing::Plain(to))
}

/// A connection that is a WebSocket; `text`: messages are sent as text.
pub(super) async fn messages(connection: Connection, text: bool) -> (Source, Sink, Activity) {
    let limits = WebSocketConfig::default().max_message_size(Some(MESSAGE_LIMIT)).max_frame_size(Some(MESSAGE_LIMIT));
    let socket = WebSocketStream::from_raw_socket(connection, Role::Server, Some(limits)).await;
    let (sink, from) = socket.split();
    halves(Reading::Messages(from), Writing::Messages { sink, text })
}

fn halves(from: Reading, to: Writing) -> (Source, Sink, Activity) {
    let activity = Activity::default();
    (Source { from, activity: activity.clone() }, Sink { to, activity: activity.clone() }, activity)
}

impl Source {
    /// The next bytes, or the next message; `None` at the end, however it came.
    pub(super) async fn read(&mut self) -> Option<Bytes> {
        let bytes = match &mut self.from {
            Reading::Plain(half) => {
                let mut chunk = vec![0; CHUNK];
                let size = half.read(&mut chunk).await.ok().filter(|size| *size > 0)?;
                chunk.truncate(size);
                chunk.into()
            }
            Reading::Messages(stream) => loop {
                match stream.next().await?.ok()? {
                    Message::Binary(bytes) => break bytes,
                    Message::Text(text) => break text.into(),
                    Message::Close(_) => return None,
                    // Pings are answered by the library.
                    Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
                }
            },
        };
        self.activity.mark();
        Some(bytes)
    }
}

impl Sink {
    async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        self.activity.mark();
        self.put(bytes).await
    }

    async fn put(&mut self, bytes: Bytes) -> io::Result<()> {
        match &mut self.to {
            Writing::Plain(half) => {
                half.write_all(&bytes).await?;
                half.flush().await
            }
            Writing::Messages { sink, text: false } => {
                sink.send(Message::Binary(bytes)).await.map_err(io::Error::other)
            }
            Writing::Messages { sink, text: true } => {
                let text = bytes.try_into().map_err(io::Error::other)?;
                sink.send(Message::Text(text)).await.map_err(io::Error::other)
            }
        }
    }

    async fn close(&mut self) {
        // The client may be gone already.
        let _ = match &mut self.to {
            Writing::Plain(half) => half.shutdown().await.map_err(drop),
            Writing::Messages { sink, .. } => {
                // Clients take a close without this code for a failure.
                let frame = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
                sink.send(Message::Close(Some(frame))).await.map_err(drop)
            }
        };
    }
}

/// Turns what is to be sent into bytes.
pub(super) trait Code: Send {
    /// What is sent.
    type Item: Send;
    /// Its bytes.
    fn encode(&mut self, item: Self::Item) -> Bytes;
    /// A question that every client answers and no program sees; `None` leaves it to the WebSocket.
    fn ping(&mut self) -> Option<Bytes>;
}

/// Sends what comes until nothing more can come, and closes; or ends when the client takes no more.
pub(super) async fn write<C: Code>(mut code: C, mut sink: Sink, mut items: mpsc::Receiver<C::Item>, clock: Clock) {
    loop {
        let sent = tokio::select! {
            biased;
            item = items.recv() => match item {
                Some(item) => sink.write(code.encode(item)).await,
                None => return sink.close().await,
            },
            () = clock.sleep(KEEP_ALIVE) => match (code.ping(), &mut sink.to) {
                (Some(bytes), _) => sink.put(bytes).await,
                (None, Writing::Messages { sink, .. }) => {
                    sink.send(Message::Ping(Bytes::new())).await.map_err(io::Error::other)
                }
                (None, Writing::Plain(_)) => Ok(()),
            },
        };
        if sent.is_err() {
            return;
        }
    }
}
