//! port-forward: many connections into a pod over one client's connection.
//!
//! Over SPDY (plain or in a tunnel) a client opens a pair of streams, `error` and `data`, for each connection; over WebSocket
//! channels the ports are in the request, and port n has the channels 2n (data) and 2n+1 (error). Source:
//! `k8s.io/kubelet/pkg/cri/streaming/portforward`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use orc_core::env::Clock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::negotiate::Protocol;
use super::spdy::{Frame, Headers, PROTOCOL_ERROR, REFUSED_STREAM};
use super::transport::{self, Code, Connection, Source};
use super::watchdog::supervise;
use super::websocket::{self, Said};
use super::wire::{SpdyCode, SpdyReader};
use crate::runtime::{RuntimeService, SandboxId};

/// Connections at a time over one client's.
const MAX_PAIRS: usize = 256;
/// Pieces that may wait for a connection; past that the client waits.
const QUEUE: usize = 16;
const CHUNK: usize = 16 << 10;
/// After the pod closed a connection, what the client still sends may take so long.
const LINGER: Duration = Duration::from_secs(1);

/// The pod behind a port-forward.
#[derive(Clone)]
pub(crate) struct Target {
    /// Connects.
    pub(crate) runtime: Arc<dyn RuntimeService>,
    /// The pod's sandbox.
    pub(crate) sandbox: SandboxId,
    /// Name and uid, for messages.
    pub(crate) pod: (String, String),
}

/// Serves one client to its end. `ports`: those of the request, for WebSocket channels.
pub(crate) async fn forward(connection: Connection, protocol: Protocol, target: Target, ports: Vec<u16>, clock: Clock) {
    let (source, sink, activity) = match protocol {
        Protocol::Spdy { .. } => transport::plain(connection),
        Protocol::Tunnel => transport::messages(connection, false).await,
        Protocol::Channels { base64, .. } => {
            let (source, sink, activity) = transport::messages(connection, base64).await;
            let (sender, messages) = mpsc::channel(QUEUE);
            let body = channels(source, base64, sender, &target, &ports, &clock);
            return supervise(
                body,
                transport::write(NumberCode(base64), sink, messages, clock.clone()),
                &activity,
                &clock,
            )
            .await;
        }
    };
    let (sender, frames) = mpsc::channel(QUEUE);
    let body = pairs(SpdyReader::new(source, sender.clone()), sender, &target, &clock);
    supervise(body, transport::write(SpdyCode::new(), sink, frames, clock.clone()), &activity, &clock).await;
}

/// Moves bytes between a port of the pod and a client.
///
/// # Errors
/// With what is to be told on the error stream.
async fn exchange<T>(
    target: &Target,
    port: u16,
    mut from_client: mpsc::Receiver<Bytes>,
    clock: &Clock,
    to_client: &mpsc::Sender<T>,
    wrap: impl Fn(Bytes) -> T,
) -> Result<(), String> {
    let (pod, uid) = &target.pod;
    let said = |why: String| format!("error forwarding port {port} to pod {pod}, uid {uid}: {why}");
    let stream =
        target.runtime.port_forward(&target.sandbox, port).await.map_err(|error| said(error.full_message()))?;
    let (mut reading, mut writing) = tokio::io::split(stream);
    let mut up = std::pin::pin!(async {
        while let Some(bytes) = from_client.recv().await {
            if writing.write_all(&bytes).await.is_err() {
                return;
            }
        }
        // A peer that is gone needs no end.
        let _ = writing.shutdown().await;
    });
    let mut chunk = vec![0; CHUNK];
    let mut sending = true;
    let ended = loop {
        tokio::select! {
            biased;
            read = reading.read(&mut chunk) => match read {
                Ok(0) => break Ok(()),
                Ok(size) => if to_client.send(wrap(Bytes::copy_from_slice(&chunk[..size]))).await.is_err() {
                    return Ok(());
                },
                Err(error) => break Err(said(error.to_string())),
            },
            () = &mut up, if sending => sending = false,
        }
    };
    if sending && ended.is_ok() {
        tokio::select! {
            biased;
            () = up => {}
            () = clock.sleep(LINGER) => {}
        }
    }
    ended
}

/// A connection in the making, or made.
#[derive(Default)]
struct Pair {
    data: Option<(u32, u16)>,
    error: Option<u32>,
    to_pod: Option<mpsc::Sender<Bytes>>,
    /// The other end, until the pair is whole.
    from_client: Option<mpsc::Receiver<Bytes>>,
    task: Option<AbortHandle>,
}

/// The state of a SPDY port-forward.
struct Pairs<'a> {
    target: &'a Target,
    clock: &'a Clock,
    frames: mpsc::Sender<Frame>,
    pairs: BTreeMap<String, Pair>,
    /// Which pair a data stream belongs to.
    data: BTreeMap<u32, String>,
    tasks: JoinSet<String>,
}

async fn pairs(mut reader: SpdyReader, frames: mpsc::Sender<Frame>, target: &Target, clock: &Clock) {
    let mut state =
        Pairs { target, clock, frames, pairs: BTreeMap::new(), data: BTreeMap::new(), tasks: JoinSet::new() };
    loop {
        let frame = tokio::select! {
            biased;
            Some(ended) = state.tasks.join_next() => {
                if let Ok(name) = ended {
                    state.forget(&name);
                }
                continue;
            }
            frame = reader.frame() => frame,
        };
        let Some(frame) = frame else { return };
        if state.take(frame).await.is_none() {
            return;
        }
    }
}

impl Pairs<'_> {
    /// Takes a frame; `None` when the client is gone.
    async fn take(&mut self, frame: Frame) -> Option<()> {
        match frame {
            Frame::SynStream { id, headers, .. } => {
                let answer = match self.open(id, &headers) {
                    Ok(()) => Frame::SynReply { id, fin: false, headers: Vec::new() },
                    Err(status) => Frame::Reset { id, status },
                };
                self.frames.send(answer).await.ok()?;
                self.start(id);
            }
            Frame::Data { id, fin, bytes } => self.data(id, fin, bytes).await,
            Frame::Reset { id, .. } => self.reset(id).await?,
            _ => {}
        }
        Some(())
    }

    /// Adds a stream to its pair. The error is the status of the refusal.
    fn open(&mut self, id: u32, headers: &Headers) -> Result<(), u32> {
        let header = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let port = header("port").and_then(|port| port.parse::<u16>().ok()).filter(|port| *port > 0);
        let (port, is_data) = match (port, header("streamtype")) {
            (Some(port), Some("data")) => (port, true),
            (Some(port), Some("error")) => (port, false),
            _ => return Err(PROTOCOL_ERROR),
        };
        // Clients of old name no request: theirs are the error stream's number, and the data stream's less two.
        let number = if is_data { id.wrapping_sub(2) } else { id };
        let name = header("requestid").map_or_else(|| number.to_string(), str::to_owned);
        if !self.pairs.contains_key(&name) && self.pairs.len() >= MAX_PAIRS {
            return Err(REFUSED_STREAM);
        }
        let pair = self.pairs.entry(name.clone()).or_default();
        if is_data && pair.data.is_none() {
            pair.data = Some((id, port));
            let (to_pod, from_client) = mpsc::channel(QUEUE);
            (pair.to_pod, pair.from_client) = (Some(to_pod), Some(from_client));
            self.data.insert(id, name);
        } else if !is_data && pair.error.is_none() {
            pair.error = Some(id);
        } else {
            return Err(PROTOCOL_ERROR);
        }
        Ok(())
    }

    /// Connects, once a pair is whole.
    fn start(&mut self, id: u32) {
        let whole = self.pairs.iter_mut().find(|(_, pair)| {
            pair.task.is_none()
                && pair.error.is_some()
                && pair.data.is_some_and(|(data, _)| data == id || pair.error == Some(id))
        });
        let Some((name, pair)) = whole else { return };
        let (Some((data, port)), Some(error), Some(from_client)) = (pair.data, pair.error, pair.from_client.take())
        else {
            return;
        };
        let (target, clock, frames, name) =
            (self.target.clone(), self.clock.clone(), self.frames.clone(), name.clone());
        let work = async move {
            let wrap = |bytes| Frame::Data { id: data, fin: false, bytes };
            let told = match exchange(&target, port, from_client, &clock, &frames, wrap).await {
                Ok(()) => Bytes::new(),
                Err(text) => text.into(),
            };
            // A client that is gone needs no end.
            let _ = frames.send(Frame::Data { id: error, fin: true, bytes: told }).await;
            let _ = frames.send(Frame::Data { id: data, fin: true, bytes: Bytes::new() }).await;
            name
        };
        pair.task = Some(self.tasks.spawn(work));
    }

    async fn data(&mut self, id: u32, fin: bool, bytes: Bytes) {
        let Some(pair) = self.data.get(&id).and_then(|name| self.pairs.get_mut(name)) else { return };
        if let Some(to_pod) = &pair.to_pod
            && !bytes.is_empty()
        {
            if pair.from_client.is_none() {
                // A connection that ended takes nothing more.
                let _ = to_pod.send(bytes).await;
            } else if to_pod.try_send(bytes).is_err() {
                // The error stream is late, and reading on is the only way to get it: such a client loses bytes, so it ends.
                self.reset(id).await;
                return;
            }
        }
        if fin {
            pair.to_pod = None;
        }
    }

    /// The client is done with a connection, whatever is on its way.
    async fn reset(&mut self, id: u32) -> Option<()> {
        let Some(name) = self.data.get(&id).cloned() else { return Some(()) };
        let error = self.pairs.get(&name).and_then(|pair| pair.error);
        self.forget(&name);
        if let Some(id) = error {
            self.frames.send(Frame::Data { id, fin: true, bytes: Bytes::new() }).await.ok()?;
        }
        Some(())
    }

    fn forget(&mut self, name: &str) {
        if let Some(pair) = self.pairs.remove(name) {
            if let Some((id, _)) = pair.data {
                self.data.remove(&id);
            }
            if let Some(task) = pair.task {
                task.abort();
            }
        }
    }
}

/// Port-forward over WebSocket channels: all connections are made at once, and the client's ends with the last of them.
async fn channels(
    mut source: Source,
    base64: bool,
    messages: mpsc::Sender<(u8, Bytes)>,
    target: &Target,
    ports: &[u16],
    clock: &Clock,
) {
    let mut tasks = JoinSet::new();
    let mut to_pod = Vec::new();
    for (at, port) in (0_u8..).zip(ports.iter().copied()) {
        let (data, error) = (at * 2, at * 2 + 1);
        for channel in [data, error] {
            // Each channel begins with its port.
            if messages.send((channel, Bytes::copy_from_slice(&port.to_le_bytes()))).await.is_err() {
                return;
            }
        }
        let (sender, from_client) = mpsc::channel(QUEUE);
        to_pod.push(sender);
        let (target, clock, messages) = (target.clone(), clock.clone(), messages.clone());
        tasks.spawn(async move {
            let wrap = |bytes| (data, bytes);
            if let Err(text) = exchange(&target, port, from_client, &clock, &messages, wrap).await {
                // A client that is gone needs no word.
                let _ = messages.send((error, text.into())).await;
            }
        });
    }
    drop(messages);
    let reading = async {
        while let Some(message) = source.read().await {
            if let Some(Said::Data(channel, bytes)) = websocket::read(&message, base64, 4)
                && channel % 2 == 0
                && let Some(sender) = to_pod.get(usize::from(channel / 2))
                && !bytes.is_empty()
            {
                // A connection that ended takes nothing more.
                let _ = sender.send(bytes).await;
            }
        }
    };
    tokio::select! {
        biased;
        () = reading => {}
        () = async { while tasks.join_next().await.is_some() {} } => {}
    }
}

struct NumberCode(bool);

impl Code for NumberCode {
    type Item = (u8, Bytes);

    fn encode(&mut self, (channel, bytes): Self::Item) -> Bytes {
        websocket::write(channel, &bytes, self.0)
    }

    fn ping(&mut self) -> Option<Bytes> {
        None
    }
}
