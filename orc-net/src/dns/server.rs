//! The UDP and TCP sockets.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use orc_core::env::{Rng, Spawner, Task};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::forward::{Forwarder, Reach, framed};
use super::host::{Current, HostFiles};
use super::message::{Answer, Packet, Question, Transport};
use super::resolve::{Resolver, Step};
use super::view::View;
use super::zone::Zone;

/// Questions that wait for the host's resolvers at a time. Each has a socket; a thousand descriptors is what a process may
/// have at least, and pods need theirs. Further ones are told SERVFAIL, so that clients ask again later.
const MAX_OUTSIDE: usize = 256;
/// TCP connections at a time; further ones wait in the kernel's queue.
const MAX_STREAMS: usize = 128;
/// How long a TCP connection may stand still (RFC 7766 asks for seconds).
const IDLE: Duration = Duration::from_secs(10);
/// Questions on one TCP connection.
const MAX_A_STREAM: usize = 1024;

/// What a server is made of.
pub struct DnsConfig {
    /// The cluster's zone.
    pub zone: Zone,
    /// What is in it.
    pub view: Arc<dyn View>,
    /// Where questions come in, over UDP and TCP. With port 0 both get the same free port.
    pub listen: SocketAddr,
    /// The host's resolvers and names.
    pub files: HostFiles,
    /// The way to the host's resolvers.
    pub reach: Arc<dyn Reach>,
    /// Says which of several addresses comes first.
    pub rng: Rng,
    /// Starts the tasks.
    pub spawn: Spawner,
}

/// Why there is no DNS.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// A socket cannot be opened.
    #[error("cluster DNS cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        why: io::Error,
    },
}

/// What a server did so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DnsCounts {
    /// Packets that came.
    pub packets: u64,
    /// Questions that were passed to the host's resolvers.
    pub forwarded: u64,
    /// Questions that were not, because too many were.
    pub refused: u64,
}

#[derive(Default)]
struct Counters {
    packets: AtomicU64,
    forwarded: AtomicU64,
    refused: AtomicU64,
}

/// A running server. It ends when dropped.
pub struct DnsServer {
    address: SocketAddr,
    counters: Arc<Counters>,
    _tasks: [Task; 3],
}

struct Shared {
    resolver: Resolver,
    outside: Arc<Semaphore>,
    counters: Arc<Counters>,
    rng: Rng,
}

impl DnsServer {
    /// Opens the sockets and answers from now on. Until the view is complete, names of the cluster are answered with SERVFAIL.
    ///
    /// # Errors
    /// When the address is taken, or not this machine's.
    pub async fn start(config: DnsConfig) -> Result<Self, DnsError> {
        let refused = |why| DnsError::Listen { address: config.listen, why };
        let listener = TcpListener::bind(config.listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let socket = UdpSocket::bind(address).await.map_err(refused)?;
        let (host, counters) = (Current::default(), Arc::<Counters>::default());
        host.refresh(&config.files).await;
        let forward = Forwarder { reach: config.reach, random: ring::rand::SystemRandom::new() };
        let resolver = Resolver { zone: config.zone, view: config.view, host: host.clone(), forward };
        let outside = Arc::new(Semaphore::new(MAX_OUTSIDE));
        let shared = Arc::new(Shared { resolver, outside, counters: counters.clone(), rng: config.rng });
        let tasks = [
            config.spawn.spawn(datagrams(socket, shared.clone())),
            config.spawn.spawn(streams(listener, shared)),
            config.spawn.spawn(host.follow(config.files)),
        ];
        Ok(Self { address, counters, _tasks: tasks })
    }

    /// Where questions come in.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was done so far.
    pub fn counts(&self) -> DnsCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DnsCounts {
            packets: read(&self.counters.packets),
            forwarded: read(&self.counters.forwarded),
            refused: read(&self.counters.refused),
        }
    }
}

/// What became of a packet.
enum Fate {
    Answer(Vec<u8>),
    Nothing,
    /// The rest takes time.
    Later(std::pin::Pin<Box<dyn Future<Output = Vec<u8>> + Send>>),
}

impl Shared {
    fn take(self: &Arc<Self>, bytes: &[u8], transport: Transport) -> Fate {
        self.counters.packets.fetch_add(1, Ordering::Relaxed);
        let question = match Question::read(bytes, transport) {
            Packet::Question(question) => question,
            Packet::Refused(answer) => return Fate::Answer(answer),
            Packet::Nothing => return Fate::Nothing,
        };
        let (chain, name) = match self.resolver.at_once(&question, self.rng.next() as u16) {
            Step::Done(answer) => return Fate::Answer(answer),
            Step::Outside(chain, name) => (chain, name),
        };
        let Ok(place) = self.outside.clone().try_acquire_owned() else {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
            return Fate::Answer(question.write(Answer::code(ResponseCode::ServFail), 0));
        };
        self.counters.forwarded.fetch_add(1, Ordering::Relaxed);
        let (shared, bytes) = (self.clone(), bytes.to_vec());
        Fate::Later(Box::pin(async move {
            let answer = shared.resolver.outside(&question, &bytes, chain, &name).await;
            drop(place);
            answer
        }))
    }
}

async fn datagrams(socket: UdpSocket, shared: Arc<Shared>) {
    let (socket, mut buffer) = (Arc::new(socket), vec![0; 4096]);
    loop {
        let (length, client) = match socket.recv_from(&mut buffer).await {
            Ok(came) => came,
            Err(error) => {
                tracing::warn!(%error, "a DNS question could not be received");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        match shared.take(&buffer[..length], Transport::Udp) {
            // A client that is gone needs no answer, and one whose queue is full asks again.
            Fate::Answer(answer) => drop(socket.try_send_to(&answer, client)),
            Fate::Nothing => {}
            Fate::Later(answer) => {
                let socket = socket.clone();
                // Bounded by the places of `take`, and in time by the forwarder.
                tokio::spawn(async move { drop(socket.send_to(&answer.await, client).await) });
            }
        }
    }
}

async fn streams(listener: TcpListener, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(MAX_STREAMS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((client, _)) => {
                let shared = shared.clone();
                tokio::spawn(async move {
                    // How a connection ends is the client's affair.
                    let _ = stream(client, &shared).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a DNS connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn stream(mut client: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    for _ in 0..MAX_A_STREAM {
        let question = timeout(IDLE, async {
            let mut bytes = vec![0; usize::from(client.read_u16().await?)];
            client.read_exact(&mut bytes).await?;
            io::Result::Ok(bytes)
        });
        let answer = match shared.take(&question.await??, Transport::Tcp) {
            Fate::Answer(answer) => answer,
            Fate::Nothing => return Ok(()),
            Fate::Later(answer) => answer.await,
        };
        timeout(IDLE, client.write_all(&framed(&answer)?)).await??;
    }
    Ok(())
}
