//! A whole environment in memory, from a seed.

use std::sync::Arc;

use orc_core::env::System;

use crate::client::ObjectClient;
use crate::env::Env;
use crate::local::LocalClient;
use crate::store::Store;

/// An environment over a memory store and a local client, with everything random from one seed and time that follows
/// tokio's (pausable) clock from 2026-01-01.
pub struct World {
    /// The environment.
    pub env: Env,
    /// Its store.
    pub store: Arc<Store>,
    /// Where its time, ids and randomness come from.
    pub system: System,
}

impl World {
    /// A new world.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn seeded(seed: u64) -> Self {
        let start = jiff::Timestamp::from_second(1_767_225_600).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let system = System::seeded(seed, start);
        let store = Store::in_memory(&system).await;
        let client: Arc<dyn ObjectClient> = Arc::new(LocalClient::new(store.clone(), &system));
        Self { env: Env::new(client, &system), store, system }
    }
}
