//! The five streams of a remote command, over either protocol.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use orc_core::env::Clock;
use tokio::sync::mpsc;

use super::spdy::{Decoder, Encoder, Frame, PROTOCOL_ERROR, REFUSED_STREAM};
use super::transport::{Code, Source};
use super::websocket::{self, Said};

/// A stream of a remote command; the number is its WebSocket channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Channel {
    /// From the client.
    Stdin = 0,
    /// To the client.
    Stdout = 1,
    /// To the client.
    Stderr = 2,
    /// To the client, once: how it ended.
    Error = 3,
    /// From the client: sizes of its terminal as JSON.
    Resize = 4,
}

impl Channel {
    const ALL: [Self; 5] = [Self::Stdin, Self::Stdout, Self::Stderr, Self::Error, Self::Resize];

    fn of_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| *channel as u8 == number)
    }

    fn of_type(name: &str) -> Option<Self> {
        let names = ["stdin", "stdout", "stderr", "error", "resize"];
        names.iter().position(|known| *known == name).map(|at| Self::ALL[at])
    }
}

/// What a client said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    /// Bytes of a stream.
    Data(Channel, Bytes),
    /// No more of a stream.
    End(Channel),
}

/// How long a client may take to open its SPDY streams: the kubelet's `DefaultStreamCreationTimeout`.
const STREAM_PATIENCE: Duration = Duration::from_secs(30);

/// What the client sends.
pub(super) enum Incoming {
    /// WebSocket messages.
    Channels { source: Source, base64: bool, version: u8 },
    /// SPDY frames.
    Spdy(Box<SpdyReader>),
}

/// The client is gone.
#[derive(Debug)]
pub(super) struct Gone;

/// What is sent to the client. Cheap to clone.
#[derive(Clone)]
pub(super) enum Outgoing {
    /// WebSocket messages.
    Channels(mpsc::Sender<(Channel, Bytes)>),
    /// SPDY frames, and which stream carries what.
    Spdy { frames: mpsc::Sender<Frame>, ids: BTreeMap<Channel, u32> },
}

impl Incoming {
    /// What the client says next; `None` when it is gone.
    pub(super) async fn next(&mut self) -> Option<Heard> {
        match self {
            Self::Channels { source, base64, version } => loop {
                match websocket::read(&source.read().await?, *base64, *version) {
                    Some(Said::Data(number, bytes)) => {
                        if let Some(channel) = Channel::of_number(number) {
                            return Some(Heard::Data(channel, bytes));
                        }
                    }
                    Some(Said::Close(number)) => {
                        if let Some(channel) = Channel::of_number(number) {
                            return Some(Heard::End(channel));
                        }
                    }
                    None => {}
                }
            },
            Self::Spdy(reader) => reader.heard().await,
        }
    }
}

impl Outgoing {
    /// Sends bytes on a stream. A stream that the client did not open is left out.
    pub(super) async fn send(&self, channel: Channel, bytes: Bytes) -> Result<(), Gone> {
        match self {
            Self::Channels(messages) => messages.send((channel, bytes)).await.map_err(|_| Gone),
            Self::Spdy { frames, ids } => match ids.get(&channel) {
                Some(id) => frames.send(Frame::Data { id: *id, fin: false, bytes }).await.map_err(|_| Gone),
                None => Ok(()),
            },
        }
    }

    /// Says that a stream carries no more; WebSocket servers have no word for it.
    pub(super) async fn end(&self, channel: Channel) -> Result<(), Gone> {
        if let Self::Spdy { frames, ids } = self
            && let Some(id) = ids.get(&channel)
        {
            return frames.send(Frame::Data { id: *id, fin: true, bytes: Bytes::new() }).await.map_err(|_| Gone);
        }
        Ok(())
    }
}

/// Reads SPDY frames, and answers those that concern the connection.
pub(super) struct SpdyReader {
    source: Source,
    decoder: Decoder,
    frames: mpsc::Sender<Frame>,
    channels: BTreeMap<u32, Channel>,
    /// A stream whose last bytes were given, and whose end is told next.
    ending: Option<Channel>,
}

impl SpdyReader {
    /// A reader that answers through `frames`.
    pub(super) fn new(source: Source, frames: mpsc::Sender<Frame>) -> Self {
        Self { source, decoder: Decoder::new(), frames, channels: BTreeMap::new(), ending: None }
    }

    /// The next frame that concerns a stream; `None` when the client is gone or speaks nonsense.
    pub(super) async fn frame(&mut self) -> Option<Frame> {
        loop {
            match self.decoder.next() {
                Ok(None) => self.decoder.push(&self.source.read().await?),
                // Odd: the client asks. Even: it answers us.
                Ok(Some(Frame::Ping { id })) => {
                    if id % 2 == 1 {
                        self.frames.send(Frame::Ping { id }).await.ok()?;
                    }
                }
                Ok(Some(Frame::GoAway { .. })) => {}
                Ok(Some(frame)) => return Some(frame),
                Err(error) => {
                    tracing::debug!(%error, "a SPDY client was let go");
                    return None;
                }
            }
        }
    }

    /// Waits until the client opened all the streams that it asked for.
    pub(super) async fn open(mut self, wanted: usize, clock: &Clock) -> Option<(Incoming, Outgoing)> {
        let mut ids = BTreeMap::new();
        let opening = async {
            while ids.len() < wanted {
                let Frame::SynStream { id, headers, .. } = self.frame().await? else { continue };
                let named = headers.iter().find(|(name, _)| name == "streamtype");
                let channel = named.and_then(|(_, value)| Channel::of_type(value));
                let answer = match channel {
                    Some(channel) if !ids.contains_key(&channel) => {
                        ids.insert(channel, id);
                        self.channels.insert(id, channel);
                        Frame::SynReply { id, fin: false, headers: Vec::new() }
                    }
                    _ => Frame::Reset { id, status: PROTOCOL_ERROR },
                };
                self.frames.send(answer).await.ok()?;
            }
            Some(())
        };
        tokio::select! {
            biased;
            opened = opening => opened?,
            () = clock.sleep(STREAM_PATIENCE) => return None,
        }
        let outgoing = Outgoing::Spdy { frames: self.frames.clone(), ids };
        Some((Incoming::Spdy(Box::new(self)), outgoing))
    }

    async fn heard(&mut self) -> Option<Heard> {
        if let Some(channel) = self.ending.take() {
            return Some(Heard::End(channel));
        }
        loop {
            let frame = self.frame().await?;
            let known = |id: &u32| self.channels.get(id).copied();
            match frame {
                Frame::Data { id, fin, bytes } => match known(&id) {
                    Some(channel) if fin && bytes.is_empty() => return Some(Heard::End(channel)),
                    Some(channel) => {
                        self.ending = fin.then_some(channel);
                        return Some(Heard::Data(channel, bytes));
                    }
                    None => {}
                },
                Frame::Reset { id, .. } => {
                    if let Some(channel) = known(&id) {
                        return Some(Heard::End(channel));
                    }
                }
                Frame::SynStream { id, .. } => {
                    self.frames.send(Frame::Reset { id, status: REFUSED_STREAM }).await.ok()?;
                }
                _ => {}
            }
        }
    }
}

/// WebSocket messages of a remote command.
pub(super) struct ChannelCode {
    /// Messages are text.
    pub(super) base64: bool,
}

impl Code for ChannelCode {
    type Item = (Channel, Bytes);

    fn encode(&mut self, (channel, bytes): Self::Item) -> Bytes {
        websocket::write(channel as u8, &bytes, self.base64)
    }

    fn ping(&mut self) -> Option<Bytes> {
        None
    }
}

/// SPDY frames.
pub(super) struct SpdyCode {
    encoder: Encoder,
    ping: u32,
}

impl SpdyCode {
    /// For a new connection.
    pub(super) fn new() -> Self {
        Self { encoder: Encoder::new(), ping: 0 }
    }
}

impl Code for SpdyCode {
    type Item = Frame;

    fn encode(&mut self, frame: Frame) -> Bytes {
        self.encoder.encode(&frame)
    }

    fn ping(&mut self) -> Option<Bytes> {
        // A server's numbers are even.
        self.ping = self.ping.wrapping_add(2) & 0x7fff_fffe;
        Some(self.encoder.encode(&Frame::Ping { id: self.ping }))
    }
}
