//! The members of an etcd: a connection to each, opened when it is first asked for.
//!
//! Calls go to one member as long as it answers, and then to the next in the configured order. A draw (what the client
//! library does with several endpoints) would hit a member that is down again and again.

use std::sync::atomic::{AtomicUsize, Ordering};

use etcd_client::{Client, ConnectOptions};
use tokio::sync::OnceCell;

use super::errors::CallError;

/// How often each member is asked before a request that certainly changed nothing is given up: between two rounds a
/// member may find a leader.
const ROUNDS: usize = 4;

/// The members, and which of them is asked.
pub(super) struct Members {
    endpoints: Vec<String>,
    options: ConnectOptions,
    clients: Vec<OnceCell<Client>>,
    asked: AtomicUsize,
}

impl Members {
    pub(super) fn new(endpoints: Vec<String>, options: ConnectOptions) -> Self {
        let clients = endpoints.iter().map(|_| OnceCell::new()).collect();
        Self { endpoints, options, clients, asked: AtomicUsize::new(0) }
    }

    /// How often to try what certainly changed nothing: once where there is no other member to ask.
    pub(super) fn tries(&self) -> usize {
        if self.endpoints.len() > 1 { ROUNDS * self.endpoints.len() } else { 1 }
    }

    /// The number of the member to ask.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// The connection to a member.
    pub(super) async fn client(&self, member: usize) -> Result<Client, CallError> {
        self.clients[member].get_or_try_init(|| self.open(member)).await.cloned()
    }

    /// Opens a connection of its own to a member.
    pub(super) async fn open(&self, member: usize) -> Result<Client, CallError> {
        let connected = Client::connect([&self.endpoints[member]], Some(self.options.clone())).await;
        connected.map_err(|error| CallError::Etcd(Box::new(error)))
    }

    /// Asks the next member from now on, unless another call has moved on from this one already.
    pub(super) fn leave(&self, member: usize) {
        let next = (member + 1) % self.endpoints.len();
        let _ = self.asked.compare_exchange(member, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}
