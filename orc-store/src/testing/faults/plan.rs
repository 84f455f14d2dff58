//! How often which fault comes.

use std::time::Duration;

use orc_core::env::{Clock, Rng, System};

/// How often each fault comes, in thousandths of the calls or items, and how long waits are.
///
/// With a paused clock waits are virtual, and the same seed gives the same faults at the same calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FaultPlan {
    /// Commits that fail before the backend hears of them.
    pub before: u64,
    /// Commits whose answer is lost after they happened (or were refused).
    pub after: u64,
    /// Scans, bounds and starts of feeds that fail.
    pub reads: u64,
    /// Calls that wait before and behind the backend.
    pub delays: u64,
    /// The longest wait of a call.
    pub longest_delay: Duration,
    /// Items of feeds at which the feed ends with an error instead.
    pub cuts: u64,
    /// Items of feeds that come late.
    pub stalls: u64,
    /// The longest wait of an item.
    pub longest_stall: Duration,
    /// Items of feeds at which the feed ends because its past is compacted.
    pub compactions: u64,
}

impl FaultPlan {
    /// No faults.
    pub const CALM: Self = Self {
        before: 0,
        after: 0,
        reads: 0,
        delays: 0,
        longest_delay: Duration::ZERO,
        cuts: 0,
        stalls: 0,
        longest_stall: Duration::ZERO,
        compactions: 0,
    };

    /// A bad day: every twentieth call fails in some way, feeds break all the time.
    pub fn rough() -> Self {
        Self {
            before: 25,
            after: 25,
            reads: 20,
            delays: 200,
            longest_delay: Duration::from_millis(20),
            cuts: 20,
            stalls: 50,
            longest_stall: Duration::from_millis(30),
            compactions: 4,
        }
    }
}

/// A plan with its dice.
pub(super) struct Dice {
    pub(super) plan: FaultPlan,
    rng: Rng,
    clock: Clock,
}

impl Dice {
    pub(super) fn new(plan: FaultPlan, system: &System) -> Self {
        Self { plan, rng: system.rng.fork(), clock: system.clock.clone() }
    }

    /// Whether a fault of so many thousandths comes now.
    pub(super) fn comes(&self, thousandths: u64) -> bool {
        thousandths > 0 && self.rng.below(1000) < thousandths
    }

    pub(super) async fn delay(&self) {
        self.wait(self.plan.delays, self.plan.longest_delay).await;
    }

    pub(super) async fn stall(&self) {
        self.wait(self.plan.stalls, self.plan.longest_stall).await;
    }

    async fn wait(&self, thousandths: u64, longest: Duration) {
        if self.comes(thousandths) {
            let longest = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
            self.clock.sleep(Duration::from_micros(self.rng.below(longest))).await;
        }
    }
}
