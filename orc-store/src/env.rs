//! The one constructor argument of every loop, client and registry.

use std::sync::Arc;

use orc_core::env::{Clock, Ids, Rng, Spawner, System};

use crate::cache::Caches;
use crate::client::ObjectClient;

/// Everything a loop may reach: objects, caches of objects, time, ids, randomness, tasks. Nothing reaches outside by itself.
#[derive(Clone)]
pub struct Env {
    /// The verbs, acting as one identity.
    pub client: Arc<dyn ObjectClient>,
    /// Caches fed by watches of that client, shared by all who ask for the same scope.
    pub caches: Caches,
    /// Time.
    pub clock: Clock,
    /// Uids and generated names.
    pub ids: Ids,
    /// Random numbers.
    pub rng: Rng,
    /// Background tasks.
    pub spawn: Spawner,
}

impl Env {
    /// An environment over a client, with caches of its own.
    pub fn new(client: Arc<dyn ObjectClient>, system: &System) -> Self {
        let System { clock, ids, rng, spawn } = system.clone();
        let caches = Caches::new(client.clone(), clock.clone(), spawn.clone());
        Self { client, caches, clock, ids, rng, spawn }
    }
}
