//! Datagrams: what comes from one client to one address is a flow, which has an endpoint and a socket to it until it is idle.
//!
//! Times are those of the kernel's connection tracking: a flow that nobody answered ends sooner than one that was answered,
//! and in a full table gives way first.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::Timestamp;
use orc_core::env::{Clock, Spawner, Task};
use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::net::SendFlags;
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::datagrams::Datagrams;
use super::port::Port;
use crate::choice::{Origin, Side};
use crate::expiring::Expiring;

/// How long a flow lasts that was not answered (`nf_conntrack_udp_timeout`).
const UNANSWERED: Duration = Duration::from_secs(30);
/// How long a flow lasts after the last datagram, once it was answered (`nf_conntrack_udp_timeout_stream`).
const ANSWERED: Duration = Duration::from_secs(180);
/// Flows of one socket of a Service port. Each has a socket of its own, so that there must not be too many.
const MAX_FLOWS: usize = 1024;
/// How often flows that are idle are looked for, when nothing else happens.
const SWEEP: Duration = Duration::from_secs(5);
/// Datagrams handled before others get their turn.
const BATCH: usize = 64;
/// The longest datagram there is.
const MAX_DATAGRAM: usize = 65_535;

/// The flows of one socket.
pub(super) struct Flows {
    front: Datagrams,
    side: Side,
    port: Arc<Port>,
    table: Mutex<Expiring<Key, Flow>>,
    made: AtomicU64,
    clock: Clock,
    spawn: Spawner,
}

/// Who sends, and the address it sends to, which is the one that answers come from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Key {
    client: SocketAddr,
    to: IpAddr,
}

/// Where a flow leads. The number tells it from a later one with the same key.
#[derive(Clone)]
struct Way {
    number: u64,
    endpoint: SocketAddr,
    server: Arc<UdpSocket>,
}

struct Flow {
    way: Way,
    answered: bool,
    // Ends with the flow.
    _answers: Task,
}

impl Flows {
    /// No flows yet.
    pub(super) fn new(front: Datagrams, port: Arc<Port>, side: Side, clock: Clock, spawn: Spawner) -> Arc<Self> {
        let (table, made) = (Mutex::new(Expiring::new(MAX_FLOWS)), AtomicU64::new(0));
        Arc::new(Self { front, side, port, table, made, clock, spawn })
    }

    /// Ends the flows to endpoints that serve no longer, so that the next datagram goes elsewhere.
    pub(super) fn drop_gone(&self) {
        self.table.lock().retain(|_, flow| self.port.has(flow.way.endpoint));
    }

    /// Passes datagrams on until it is dropped.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            tokio::select! {
                ready = self.front.readable() => {
                    if let Err(error) = ready.and_then(|()| self.take()) {
                        tracing::warn!(%error, "a datagram to a service could not be received");
                        self.clock.sleep(Duration::from_millis(50)).await;
                    }
                }
                () = self.clock.sleep(SWEEP) => {}
            }
            self.table.lock().expire(self.clock.now());
        }
    }

    /// Takes what has come, at most a batch of it.
    fn take(self: &Arc<Self>) -> io::Result<()> {
        let mut buffer = [0; MAX_DATAGRAM];
        for _ in 0..BATCH {
            match self.front.receive(&mut buffer) {
                Ok((length, client, to)) => self.pass_on(Key { client, to }, &buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends a datagram to the endpoint of its flow. What cannot be sent is lost, as datagrams may be; but where the endpoint
    /// refused the one before, this one goes to another.
    fn pass_on(self: &Arc<Self>, key: Key, data: &[u8]) {
        let now = self.clock.now();
        let mut tried = Vec::new();
        loop {
            let way = match self.known(key, now).map_or_else(|| self.open(key, now, &tried), |way| Ok(Some(way))) {
                Ok(Some(way)) => way,
                Ok(None) => return,
                Err(error) => return tracing::debug!(client = %key.client, %error, "a flow could not be opened"),
            };
            // Past tokio, which does not know yet of a new socket that it can be written to.
            match rustix::net::send(&*way.server, data, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Err(error) if error == Errno::CONNREFUSED && !tried.contains(&way.endpoint) => {
                    self.give_up(key, way.number, &error.into());
                    tried.push(way.endpoint);
                }
                _ => return,
            }
        }
    }

    /// The flow that is there, which lasts on.
    fn known(&self, key: Key, now: Timestamp) -> Option<Way> {
        let mut table = self.table.lock();
        let flow = table.get(&key, now)?;
        let (way, answered) = (flow.way.clone(), flow.answered);
        table.prolong(&key, end(now, answered));
        Some(way)
    }

    /// Opens a flow to the endpoint whose turn it is; `None` when there is none but those that were tried.
    fn open(self: &Arc<Self>, key: Key, now: Timestamp, tried: &[SocketAddr]) -> io::Result<Option<Way>> {
        let origin = Origin { client: key.client.ip(), to: key.to, side: self.side };
        let Some(endpoint) = self.port.pick(&origin, tried) else { return Ok(None) };
        let server = Arc::new(connected(endpoint)?);
        self.port.keep(origin.client, endpoint);
        let way = Way { number: self.made.fetch_add(1, Ordering::Relaxed), endpoint, server };
        let answers = self.spawn.spawn(answers(Arc::downgrade(self), key, way.number, way.server.clone()));
        let flow = Flow { way: way.clone(), answered: false, _answers: answers };
        if self.table.lock().insert(key, flow, end(now, false)).is_some() {
            tracing::debug!(bound = MAX_FLOWS, "the flows of a service port are too many: one gave way");
        }
        Ok(Some(way))
    }

    /// Sends back what an endpoint answered. False when the flow is over, because the endpoint refuses.
    fn pass_back(&self, key: Key, number: u64, server: &UdpSocket) -> bool {
        let mut buffer = [0; MAX_DATAGRAM];
        for _ in 0..BATCH {
            match server.try_recv(&mut buffer) {
                Ok(length) => {
                    self.mark_answered(key, number);
                    // A client that is gone loses its answer, as it would without us.
                    let _ = self.front.send(&buffer[..length], key.client, key.to);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    self.give_up(key, number, &error);
                    return false;
                }
            }
        }
        true
    }

    fn mark_answered(&self, key: Key, number: u64) {
        let now = self.clock.now();
        let mut table = self.table.lock();
        if let Some(flow) = table.get_mut(&key).filter(|flow| flow.way.number == number) {
            flow.answered = true;
            table.prolong(&key, end(now, true));
        }
    }

    fn give_up(&self, key: Key, number: u64, error: &io::Error) {
        let mut table = self.table.lock();
        let Some(flow) = table.get_mut(&key).filter(|flow| flow.way.number == number) else { return };
        tracing::debug!(endpoint = %flow.way.endpoint, %error, "an endpoint refuses datagrams");
        self.port.forget(key.client.ip(), flow.way.endpoint);
        drop(table.remove(&key));
    }
}

fn end(now: Timestamp, answered: bool) -> Timestamp {
    now.checked_add(if answered { ANSWERED } else { UNANSWERED }).unwrap_or(Timestamp::MAX)
}

fn connected(endpoint: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = if endpoint.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    socket.connect(endpoint)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// Reads the answers of a flow until it is over. It does not hold the flows: their socket may close before.
async fn answers(flows: Weak<Flows>, key: Key, number: u64, server: Arc<UdpSocket>) {
    while let Ok(ready) = server.ready(Interest::READABLE | Interest::ERROR).await {
        let Some(flows) = flows.upgrade() else { return };
        if ready.is_error() {
            let error = server.take_error().ok().flatten();
            return flows.give_up(key, number, &error.unwrap_or_else(|| io::ErrorKind::ConnectionRefused.into()));
        }
        if !flows.pass_back(key, number, &server) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::{Backend, PortRoute, Protocol, ServiceRoutes};

    fn flows(clock: &Clock, endpoint: SocketAddr) -> Arc<Flows> {
        let port = Arc::new(Port::new(Arc::new([]), clock.clone()));
        let route = PortRoute {
            name: String::new(),
            protocol: Protocol::Udp,
            cluster: Vec::new(),
            external: Vec::new(),
            node_port: None,
            endpoints: vec![Backend { address: endpoint, node: None, draining: false }],
        };
        port.follow(&ServiceRoutes::default(), &route);
        let front = Datagrams::new(std::net::UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
        Flows::new(front, port, Side::Internal, clock.clone(), Spawner::new())
    }

    fn key(port: u16) -> Key {
        Key { client: ([127, 0, 0, 1], port).into(), to: Ipv4Addr::LOCALHOST.into() }
    }

    #[tokio::test(start_paused = true)]
    async fn idle_flows_end_sooner_when_nobody_answered() {
        let clock = Clock::following_tokio(Timestamp::UNIX_EPOCH);
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let flows = flows(&clock, silent.local_addr().unwrap());
        let left = |after: Duration| {
            let mut table = flows.table.lock();
            table.expire(clock.now() + after);
            table.len()
        };
        flows.pass_on(key(1), b"x");
        flows.pass_on(key(2), b"x");
        let answered = flows.table.lock().get(&key(2), clock.now()).unwrap().way.number;
        flows.mark_answered(key(2), answered);
        flows.mark_answered(key(1), answered);
        let second = Duration::from_secs(1);
        assert_eq!(left(UNANSWERED - second), 2);
        assert_eq!(left(UNANSWERED), 1, "the other's answer is not this one's");
        assert_eq!(left(ANSWERED - second), 1);
        assert_eq!(left(ANSWERED), 0);
    }

    #[tokio::test]
    async fn the_table_is_bounded_and_flows_that_nobody_answered_give_way() {
        let clock = Clock::wall();
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut flows = flows(&clock, silent.local_addr().unwrap());
        Arc::get_mut(&mut flows).unwrap().table = Mutex::new(Expiring::new(4));
        flows.pass_on(key(1), b"x");
        let first = flows.table.lock().get(&key(1), clock.now()).unwrap().way.number;
        flows.mark_answered(key(1), first);
        for client in 2..20 {
            flows.pass_on(key(client), b"x");
        }
        assert_eq!(flows.table.lock().len(), 4);
        assert!(flows.table.lock().get(&key(1), clock.now()).is_some());
        assert!(flows.table.lock().get(&key(19), clock.now()).is_some());
    }
}
