//! One port of a Service: the endpoints behind all its sockets, whose turn it is, and which client keeps which endpoint.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use orc_core::env::Clock;
use parking_lot::{Mutex, RwLock};

use crate::choice::{self, LocalNode, Origin, Side};
use crate::expiring::Expiring;
use crate::routes::{Backend, PortRoute, ServiceRoutes, TrafficPolicy};

/// Clients of a port that keep an endpoint; one more takes the place of the one that would lose its endpoint first.
const MAX_CLIENTS: usize = 16_384;

/// What all sockets of a port share.
pub(super) struct Port {
    routed: RwLock<Arc<Routed>>,
    turn: AtomicUsize,
    kept: Mutex<Expiring<IpAddr, SocketAddr>>,
    nodes: Arc<[LocalNode]>,
    clock: Clock,
}

#[derive(PartialEq, Default)]
struct Routed {
    endpoints: Vec<Backend>,
    internal: TrafficPolicy,
    external: TrafficPolicy,
    affinity: Option<Duration>,
}

impl Port {
    /// A port without endpoints.
    pub(super) fn new(nodes: Arc<[LocalNode]>, clock: Clock) -> Self {
        let kept = Mutex::new(Expiring::new(MAX_CLIENTS));
        Self { routed: RwLock::default(), turn: AtomicUsize::new(0), kept, nodes, clock }
    }

    /// Follows the routes: what is connected stays so, what comes goes by these.
    pub(super) fn follow(&self, routes: &ServiceRoutes, port: &PortRoute) {
        let (endpoints, affinity) = (port.endpoints.clone(), routes.affinity);
        let next = Routed { endpoints, affinity, internal: routes.internal, external: routes.external };
        if affinity.is_none() {
            self.kept.lock().retain(|_, _| false);
        }
        *self.routed.write() = Arc::new(next);
    }

    /// The endpoint for a connection, none that was tried already.
    pub(super) fn pick(&self, origin: &Origin, tried: &[SocketAddr]) -> Option<SocketAddr> {
        let routed = self.routed.read().clone();
        let policy = match origin.side {
            Side::Internal => routed.internal,
            Side::External => routed.external,
        };
        let nodes = choice::nodes(origin, policy, &self.nodes);
        let usable = choice::usable(&routed.endpoints, nodes.as_deref());
        let own = routed.affinity.and_then(|_| self.kept.lock().get(&origin.client, self.clock.now()).copied());
        choice::pick(&usable, self.turn.fetch_add(1, Ordering::Relaxed), own, tried)
    }

    /// Remembers that a client is served by an endpoint, where the Service wants that it stays there.
    pub(super) fn keep(&self, client: IpAddr, endpoint: SocketAddr) {
        let Some(affinity) = self.routed.read().affinity else { return };
        let now = self.clock.now();
        let Ok(end) = now.checked_add(affinity) else { return };
        let mut kept = self.kept.lock();
        kept.expire(now);
        kept.insert(client, endpoint, end);
    }

    /// Forgets that a client is served by an endpoint that refused it.
    pub(super) fn forget(&self, client: IpAddr, endpoint: SocketAddr) {
        let mut kept = self.kept.lock();
        if kept.get(&client, self.clock.now()) == Some(&endpoint) {
            kept.remove(&client);
        }
    }

    /// Whether an endpoint still serves, be it that it terminates.
    pub(super) fn has(&self, endpoint: SocketAddr) -> bool {
        self.routed.read().endpoints.iter().any(|one| one.address == endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::Protocol;
    use jiff::Timestamp;

    const SECOND: Duration = Duration::from_secs(1);

    fn routes(affinity: Option<Duration>, endpoints: &[(u8, bool)]) -> ServiceRoutes {
        let backend = |(number, draining): &(u8, bool)| Backend {
            address: ([10, 1, 0, *number], 80).into(),
            node: None,
            draining: *draining,
        };
        let port = PortRoute {
            name: String::new(),
            protocol: Protocol::Tcp,
            cluster: Vec::new(),
            external: Vec::new(),
            node_port: None,
            endpoints: endpoints.iter().map(backend).collect(),
        };
        ServiceRoutes { ports: vec![port], affinity, ..Default::default() }
    }

    fn follow(port: &Port, routes: &ServiceRoutes) {
        port.follow(routes, &routes.ports[0]);
    }

    /// The next endpoint of a client, which is then connected to it.
    fn serve(port: &Port, client: u8) -> SocketAddr {
        let client = IpAddr::from([10, 1, 0, client]);
        let origin = Origin { client, to: [10, 96, 0, 1].into(), side: Side::Internal };
        let endpoint = port.pick(&origin, &[]).unwrap();
        port.keep(client, endpoint);
        endpoint
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_keeps_its_endpoint_until_the_time_after_its_last_connection() {
        let clock = Clock::following_tokio(Timestamp::UNIX_EPOCH);
        let port = Port::new(Arc::new([]), clock);
        let all = [(1, false), (2, false)];
        follow(&port, &routes(Some(10 * SECOND), &all));
        let first = serve(&port, 9);
        for _ in 0..5 {
            tokio::time::advance(9 * SECOND).await;
            assert_eq!(serve(&port, 9), first);
        }
        // The turn has come to the same endpoint or not, so that one of two passes goes to the other.
        let mut later = Vec::new();
        for _ in 0..2 {
            tokio::time::advance(10 * SECOND).await;
            later.extend([serve(&port, 9), serve(&port, 8)]);
        }
        assert!(later.iter().any(|endpoint| *endpoint != first), "{later:?}");
        follow(&port, &routes(None, &all));
        assert!(port.kept.lock().is_empty());
    }

    #[tokio::test]
    async fn a_client_leaves_an_endpoint_that_terminates_and_what_refused_it() {
        let port = Port::new(Arc::new([]), Clock::wall());
        follow(&port, &routes(Some(SECOND * 60), &[(1, false)]));
        let first = serve(&port, 9);
        follow(&port, &routes(Some(SECOND * 60), &[(1, true), (2, false)]));
        let second = serve(&port, 9);
        assert_ne!(first, second);
        assert!(port.has(first), "what is connected to it may stay");
        port.forget([10, 1, 0, 9].into(), first);
        assert!(!port.kept.lock().is_empty(), "that was not the client's endpoint any more");
        port.forget([10, 1, 0, 9].into(), second);
        assert!(port.kept.lock().is_empty());
    }
}
