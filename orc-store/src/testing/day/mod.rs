//! Hours of mixed traffic in virtual time, over a medium that crashes.
//!
//! Nodes renew leases, pods come, are bound and go, events pile up and are swept, config maps are changed; watches are dropped
//! and resumed, lists are paged; and every few minutes the power fails or the process is stopped. What was promised is
//! checked over the whole day: see [`Report`]. Everything random is from one seed, and one call runs at a time, so that the
//! calls of the medium are a function of the seed as well (where the medium has threads of its own, up to their timing).
//!
//! ```
//! use std::time::Duration;
//! use orc_store::testing::day::{Day, Tape};
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
//! # runtime.block_on(async {
//! let report = Day::of(Tape::new()).seed(3).lasting(Duration::from_secs(600)).live().await.unwrap();
//! assert!(report.crashes > 0);
//! # });
//! ```

mod life;
mod lists;
mod medium;
mod recovery;
mod tape;
#[cfg(test)]
mod tests;
mod traffic;
mod watchers;

use std::fmt;
use std::time::Duration;

use orc_core::env::System;

use self::life::{Ending, Life};
pub use self::medium::Medium;
use self::recovery::Past;
pub use self::tape::{Defect, Tape};
use super::Violation;

/// A day to be lived.
pub struct Day<M> {
    medium: M,
    seed: u64,
    lasting: Duration,
    nodes: u64,
    longest_life: Duration,
    io_steps: u64,
}

/// What happened in a day. All of it was checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Virtual time lived.
    pub lasted: Duration,
    /// Calls of the backend.
    pub calls: usize,
    /// Changes in the log.
    pub changes: usize,
    /// Lease renewals that were acknowledged.
    pub renewals: usize,
    /// Times the power failed.
    pub crashes: usize,
    /// Of these, in the middle of a write.
    pub failed_writes: usize,
    /// Clean stops and starts.
    pub stops: usize,
    /// Relaxed changes that crashes took: allowed, and told.
    pub lost_relaxed: usize,
    /// Changes that were made although their callers were not told.
    pub unanswered: usize,
    /// Watches checked.
    pub watches: usize,
    /// Of these, resumed over a restart.
    pub resumed: usize,
    /// Watch events checked.
    pub events: usize,
    /// Paged lists checked.
    pub lists: usize,
}

/// A promise that was not kept.
#[derive(Debug, thiserror::Error)]
#[error(
    "a promise was broken after {after:?} of virtual time\n  {violation}\n  replay: ORC_DAY_SEED={seed} ORC_DAY_HOURS={hours}"
)]
pub struct BrokenDay {
    /// The seed.
    pub seed: u64,
    /// How many hours the day was to last.
    pub hours: f64,
    /// When it was found, in virtual time.
    pub after: Duration,
    /// Which.
    pub violation: Violation,
}

impl<M: Medium> Day<M> {
    /// An hour over a medium.
    pub fn of(medium: M) -> Self {
        let hour = Duration::from_secs(3600);
        Self { medium, seed: 1, lasting: hour, nodes: 10, longest_life: hour / 4, io_steps: 3000 }
    }

    /// The seed of everything random.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How long the day is, in virtual time.
    pub fn lasting(mut self, lasting: Duration) -> Self {
        self.lasting = lasting;
        self
    }

    /// How many nodes renew a lease every ten seconds (default 10).
    pub fn nodes(mut self, nodes: u64) -> Self {
        self.nodes = nodes.max(1);
        self
    }

    /// The longest time between two restarts (default 15 minutes), and the most steps of I/O before the power fails
    /// (default 3,000).
    pub fn lives(mut self, longest: Duration, io_steps: u64) -> Self {
        (self.longest_life, self.io_steps) = (longest, io_steps.max(1));
        self
    }

    /// Lives the day. Needs a runtime of one thread whose clock is paused.
    ///
    /// # Errors
    /// The first promise that was broken: an acknowledged durable change that is gone, a change that nobody made, a revision
    /// used twice, a watch with a gap, a list that no moment looked like.
    pub async fn live(mut self) -> Result<Report, BrokenDay> {
        let mut report = Report::default();
        let outcome = self.lives_on(&mut report).await;
        let hours = self.lasting.as_secs_f64() / 3600.0;
        let broken = |violation| BrokenDay { seed: self.seed, hours, after: report.lasted, violation };
        outcome.map(|()| report).map_err(broken)
    }

    async fn lives_on(&mut self, report: &mut Report) -> Result<(), Violation> {
        let start = jiff::Timestamp::from_second(1_767_225_600).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let system = System::seeded(self.seed, start);
        let born = system.clock.now();
        let mut past = Past::default();
        loop {
            let ending = self.draw_ending(&system);
            if let Ending::PowerFails { after } = ending {
                self.medium.fail_after(after);
            }
            let still = medium::hold_time();
            let Some(life) = Life::begin(&mut self.medium, &system, &mut past, ending, self.nodes).await? else {
                // The power failed while the medium was read.
                self.medium.crash(&system.rng).await;
                report.crashes += 1;
                continue;
            };
            drop(still);
            let longest = self.longest_life.as_secs().max(2);
            let until =
                Duration::from_secs(1 + system.rng.below(longest)).min(self.lasting.saturating_sub(report.lasted));
            let ended = life.live(until, report).await?;
            let still = medium::hold_time();
            ended.check(&mut past, report)?;
            match ending {
                Ending::Stop => self.medium.stop().await,
                Ending::PowerFails { .. } => self.medium.crash(&system.rng).await,
            }
            drop(still);
            *(if ending == Ending::Stop { &mut report.stops } else { &mut report.crashes }) += 1;
            let now = system.clock.now().duration_since(born);
            report.lasted = now.unsigned_abs();
            if report.lasted >= self.lasting {
                return self.last_look(&system, past).await;
            }
        }
    }

    fn draw_ending(&self, system: &System) -> Ending {
        match system.rng.below(4) {
            0 => Ending::Stop,
            _ => Ending::PowerFails { after: 20 + system.rng.below(self.io_steps) },
        }
    }

    /// Opens the medium once more, to see what the last ending left.
    async fn last_look(&mut self, system: &System, mut past: Past) -> Result<(), Violation> {
        let _still = medium::hold_time();
        let life = Life::begin(&mut self.medium, system, &mut past, Ending::Stop, self.nodes).await?;
        life.map(drop).ok_or_else(|| Violation::new("a medium with power opens", "it does not"))?;
        self.medium.stop().await;
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lasted, calls, changes, renewals, crashes, stops, lost_relaxed, unanswered, .. } = self;
        let Self { failed_writes, watches, resumed, events, lists, .. } = self;
        writeln!(
            f,
            "{:.1} virtual hours: {calls} calls, {changes} changes, {renewals} renewals",
            lasted.as_secs_f64() / 3600.0
        )?;
        writeln!(
            f,
            "{crashes} crashes ({failed_writes} in a write), {stops} clean stops; {lost_relaxed} relaxed changes lost and told, {unanswered} made unanswered"
        )?;
        write!(f, "checked: {watches} watches ({resumed} over a restart), {events} events, {lists} paged lists")
    }
}
