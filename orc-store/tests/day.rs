//! Hours of traffic over the durable backend on a disk that crashes.
//!
//! CI lives some of it. The whole: `ORC_DAY_HOURS=24 ORC_DAY_SEED=7 cargo test --release -p orc-store --features durable
//! --test day -- --nocapture`.

use std::sync::Arc;
use std::time::Duration;

use orc_core::env::Rng;
use orc_store::backend::{Backend, BackendError, DurableBackend, DurableConfig};
use orc_store::testing::FakeDisk;
use orc_store::testing::day::{BrokenDay, Day, Medium, Report};

/// The durable backend on a disk whose power fails in the middle of an operation.
struct Machine {
    disk: FakeDisk,
    open: Option<Arc<DurableBackend>>,
    /// Whether the disk answers syncs without doing them.
    lies: bool,
}

impl Machine {
    fn new() -> Self {
        Self { disk: FakeDisk::new(), open: None, lies: false }
    }

    fn config() -> DurableConfig {
        DurableConfig {
            // Never by the wall clock: relaxed changes ride with durable ones, so that the steps are a function of the seed.
            flush_every: Duration::from_secs(24 * 3600),
            // Small, so that a day turns segments over and folds them often, and a crash copies little.
            segment_bytes: 64 << 10,
            fold_bytes: 256 << 10,
            fold_changes: 400,
            log_bytes: 1 << 20,
            ..DurableConfig::new("/fake")
        }
    }
}

impl Medium for Machine {
    async fn open(&mut self) -> Result<Arc<dyn Backend>, BackendError> {
        let backend = Arc::new(DurableBackend::open_on(Arc::new(self.disk.clone()), Self::config())?);
        self.open = Some(backend.clone());
        Ok(backend)
    }

    fn fail_after(&mut self, steps: u64) {
        self.disk.fail_after(steps);
    }

    async fn crash(&mut self, rng: &Rng) {
        // Before the backend ends: what its threads still try is of no effect.
        let repowered = self.disk.crashed(rng);
        repowered.lie(self.lies);
        self.disk.fail_after(0);
        if let Some(backend) = self.open.take() {
            backend.close();
        }
        self.disk = repowered;
    }

    async fn stop(&mut self) {
        if let Some(backend) = self.open.take() {
            backend.close();
        }
    }
}

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, which is no number")))
}

fn day(machine: Machine, seed: u64, lasting: Duration) -> Result<Report, BrokenDay> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    // So short that most lives end in the middle of a write, and some while the log is folded or read.
    let day = Day::of(machine).seed(seed).lasting(lasting).lives(Duration::from_secs(400), 700);
    runtime.block_on(day.live())
}

fn live(seed: u64, lasting: Duration) -> Report {
    let report = day(Machine::new(), seed, lasting).unwrap_or_else(|broken| panic!("{broken}"));
    println!("seed {seed}: {report}");
    report
}

#[test]
fn the_durable_backend_lives_through_a_day() {
    match (variable::<f64>("ORC_DAY_HOURS"), variable("ORC_DAY_SEED")) {
        (None, None) => {
            let days: Vec<Report> = (1..3).map(|seed| live(seed, Duration::from_secs(3600))).collect();
            for day in &days {
                assert!(day.crashes > 8 && day.failed_writes > 2 && day.changes > 1000 && day.renewals > 1000, "{day}");
            }
            assert!(days.iter().map(|day| day.unanswered).sum::<usize>() > 0, "no write survived its crash");
        }
        (hours, seed) => drop(live(seed.unwrap_or(1), Duration::from_secs_f64(hours.unwrap_or(24.0) * 3600.0))),
    }
}

#[test]
fn a_disk_that_lies_about_syncs_is_noticed() {
    let liar = Machine { lies: true, ..Machine::new() };
    liar.disk.lie(true);
    let broken = day(liar, 1, Duration::from_secs(3600)).expect_err("a day over a lying disk passes");
    println!("{broken}");
}
