//! What this process runs, for those who ask how it does: the status page, the metrics and the health checks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use orc_core::env::Clock;
use orc_reconcile::LoopStatus;
use orc_reconcile::election::Standing;
use orc_sched::driver::{SchedulerStatus, StatusReader};
use orc_store::Caches;
use orc_store::cache::CacheStatus;
use parking_lot::Mutex;
use tokio::sync::watch;

/// Reads a loop's status.
pub type Reader = Arc<dyn Fn() -> LoopStatus + Send + Sync>;

/// The list of what runs. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Board(Arc<Inner>);

struct Inner {
    clock: Clock,
    started: Timestamp,
    stopping: AtomicBool,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    loops: BTreeMap<String, Entry>,
    scheduler: Option<StatusReader>,
    caches: Option<Caches>,
    elections: BTreeMap<&'static str, watch::Receiver<Standing>>,
}

struct Entry {
    read: Reader,
    ended: bool,
}

impl Board {
    /// Nothing runs yet.
    pub fn new(clock: Clock) -> Self {
        let started = clock.now();
        Self(Arc::new(Inner { clock, started, stopping: AtomicBool::new(false), running: Mutex::default() }))
    }

    /// Notes a loop that begins. It counts as running until the result is dropped.
    pub fn begin(&self, name: &str, read: Reader) -> Begun {
        self.0.running.lock().loops.insert(name.to_owned(), Entry { read, ended: false });
        Begun { board: self.clone(), name: name.to_owned() }
    }

    /// Notes the scheduler of a term; it is shown as a loop as well.
    pub fn begin_scheduler(&self, status: StatusReader) -> (Begun, Term) {
        self.0.running.lock().scheduler = Some(status.clone());
        let begun = self.begin(SCHEDULER, Arc::new(move || as_loop(&status.read())));
        (begun, Term { board: self.clone(), names: vec![SCHEDULER.to_owned()] })
    }

    /// Notes the caches that the controllers of a term read, and their names.
    pub fn begin_controllers(&self, caches: Caches, names: Vec<String>) -> Term {
        self.0.running.lock().caches = Some(caches);
        Term { board: self.clone(), names }
    }

    /// Notes an election that this process takes part in.
    pub fn election(&self, lease: &'static str, standing: watch::Receiver<Standing>) {
        self.0.running.lock().elections.insert(lease, standing);
    }

    /// The process begins to stop.
    pub fn stop(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether it does.
    pub fn is_stopping(&self) -> bool {
        self.0.stopping.load(Ordering::Relaxed)
    }

    /// When the process started.
    pub fn started(&self) -> Timestamp {
        self.0.started
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The loops that run here, by name.
    pub fn loops(&self) -> Vec<LoopStatus> {
        let readers: Vec<Reader> = self.0.running.lock().loops.values().map(|entry| entry.read.clone()).collect();
        readers.iter().map(|read| read()).collect()
    }

    /// Loops that should run and have ended.
    pub fn ended(&self) -> Vec<String> {
        let running = self.0.running.lock();
        running.loops.iter().filter(|(_, entry)| entry.ended).map(|(name, _)| name.clone()).collect()
    }

    /// A handle on the scheduler, if it runs here.
    pub fn scheduler(&self) -> Option<StatusReader> {
        self.0.running.lock().scheduler.clone()
    }

    /// How the scheduler does, if it runs here.
    pub fn scheduler_status(&self) -> Option<SchedulerStatus> {
        self.scheduler().map(|scheduler| scheduler.read())
    }

    /// The caches of the controllers, if they run here.
    pub fn cache_status(&self) -> Vec<CacheStatus> {
        let caches = self.0.running.lock().caches.clone();
        caches.map(|caches| caches.status()).unwrap_or_default()
    }

    /// How the elections stand; none where this is the only server.
    pub fn elections(&self) -> Vec<(&'static str, Standing)> {
        let running = self.0.running.lock();
        running.elections.iter().map(|(lease, standing)| (*lease, standing.borrow().clone())).collect()
    }
}

/// The scheduler's name among the loops.
const SCHEDULER: &str = "scheduler";

fn as_loop(status: &SchedulerStatus) -> LoopStatus {
    LoopStatus {
        name: SCHEDULER.to_owned(),
        runs: status.placed + status.unschedulable,
        failures: status.bind_failures,
        last_run: status.last_decision,
        last_error: status.last_error.clone(),
        depth: status.active + status.binding,
        ..LoopStatus::default()
    }
}

/// The loops of a term. When it is over they are forgotten: another server runs them then.
pub struct Term {
    board: Board,
    names: Vec<String>,
}

impl Drop for Term {
    fn drop(&mut self) {
        let mut running = self.board.0.running.lock();
        self.names.iter().for_each(|name| drop(running.loops.remove(name)));
        if self.names.iter().any(|name| name == SCHEDULER) {
            running.scheduler = None;
        } else {
            running.caches = None;
        }
    }
}

/// A loop that runs.
pub struct Begun {
    board: Board,
    name: String,
}

impl Drop for Begun {
    fn drop(&mut self) {
        // After the end of a term the loop may be gone from the list already.
        if let Some(entry) = self.board.0.running.lock().loops.get_mut(&self.name) {
            entry.ended = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_ends_alone_is_told_and_a_term_that_ends_is_not() {
        let board = Board::new(Clock::wall());
        let read = |name: &str| -> Reader {
            let name = name.to_owned();
            Arc::new(move || LoopStatus { name: name.clone(), ..LoopStatus::default() })
        };
        let first = board.begin("a", read("a"));
        let second = board.begin("b", read("b"));
        drop(first);
        assert_eq!((board.ended(), board.loops().len()), (vec!["a".to_owned()], 2));
        drop(Term { board: board.clone(), names: vec!["a".to_owned(), "b".to_owned()] });
        drop(second);
        assert_eq!((board.ended().len(), board.loops().len()), (0, 0));
    }
}
