//! The only ways to reach outside.
//!
//! A loop that takes its time, identifiers, randomness and tasks from here can be run twice with the same seed and give the
//! same byte trace; that is what makes faults explorable. `orc_store::Env` adds the object client and the caches.

mod clock;
mod ids;
mod rng;
mod spawn;

pub use clock::Clock;
pub use ids::Ids;
pub use rng::Rng;
pub use spawn::{Spawner, Task};

/// Clock, ids, randomness and spawning in one value.
#[derive(Clone, Debug)]
pub struct System {
    /// Time.
    pub clock: Clock,
    /// Uids and generated names.
    pub ids: Ids,
    /// Random numbers.
    pub rng: Rng,
    /// Background tasks.
    pub spawn: Spawner,
}

impl System {
    /// The real thing: wall clock, random seed, tokio tasks.
    pub fn real() -> Self {
        let rng = Rng::random();
        Self { clock: Clock::wall(), ids: Ids::new(rng.fork()), rng, spawn: Spawner::new() }
    }

    /// Everything from a seed, with time that follows tokio's clock from `start`, so that a paused runtime gives virtual
    /// time: the same seed twice gives the same trace on a current-thread runtime.
    pub fn seeded(seed: u64, start: jiff::Timestamp) -> Self {
        let rng = Rng::seeded(seed);
        Self { clock: Clock::following_tokio(start), ids: Ids::new(rng.fork()), rng, spawn: Spawner::new() }
    }
}
