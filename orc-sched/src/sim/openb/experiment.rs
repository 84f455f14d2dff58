//! Runs of policies over seeds.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use orc_core::env::Rng;

use super::inflate::{arrivals, shuffle};
use super::trace::Trace;
use crate::engine::{Engine, Event};
use crate::policies::gpu::{Devices, Typical};
use crate::policies::{self};
use crate::profile::Profile;

/// The seed with which [`Engine::decide`] takes the first of equal nodes in slot order: the state of SplitMix64 from which its
/// first number is 0.
pub(crate) const FIRST: u64 = 0u64.wrapping_sub(0x9E37_79B9_7F4A_7C15);

/// Which of the nodes of equal score a pod goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ties {
    /// The first in an order of the nodes that the seed draws once for the run.
    First,
    /// One that is drawn for each pod.
    Drawn,
}

/// How a run stands once so much demand has come.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Point {
    /// GPU asked for so far, in percent of the cluster's.
    pub arrived: f64,
    /// GPU given out, in percent of the cluster's.
    pub allocated: f64,
    /// GPU that is free but of no use to the pods that are expected, in percent of the cluster's.
    pub fragmented: f64,
}

/// One run.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// The policy.
    pub policy: String,
    /// The seed.
    pub seed: u64,
    /// GPU given out when demand reached capacity, in percent.
    pub allocated: f64,
    /// How many pods were placed until then.
    pub placed: usize,
    /// How many fitted nowhere.
    pub refused: usize,
    /// One point for each percent of demand.
    pub curve: Vec<Point>,
}

/// There is no policy of a name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("policy: Unsupported value: {0:?}: supported values: {names}", names = policies::NAMES.join(", "))]
pub struct UnknownPolicy(pub String);

/// A trace with its typical pods.
#[derive(Clone, Debug)]
pub struct Experiment {
    trace: Arc<Trace>,
    typical: Arc<Typical>,
}

impl Experiment {
    /// Reads the typical pods out of a trace.
    pub fn new(trace: Trace) -> Self {
        let typical = Arc::new(trace.typical());
        Self { trace: Arc::new(trace), typical }
    }

    /// The pods that are expected.
    pub fn typical(&self) -> &Arc<Typical> {
        &self.typical
    }

    /// The trace.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// One run of a policy of [`policies`].
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn run(&self, policy: &str, seed: u64) -> Result<Outcome, UnknownPolicy> {
        let known = policies::named(policy, &self.typical, seed).ok_or_else(|| UnknownPolicy(policy.to_owned()))?;
        let ties = if &*known.name == "Random" { Ties::Drawn } else { Ties::First };
        Ok(self.run_profile(known, ties, seed))
    }

    /// Runs each policy with each seed on all cores, and returns the outcomes in that order. `done` is told after each run how
    /// many have ended.
    ///
    /// # Errors
    /// When there is no policy of a name; nothing is run then.
    pub fn run_all(
        &self,
        policies: &[String],
        seeds: &[u64],
        done: impl Fn(usize) + Sync,
    ) -> Result<Vec<Outcome>, UnknownPolicy> {
        if let Some(unknown) = policies.iter().find(|name| policies::named(name, &self.typical, 0).is_none()) {
            return Err(UnknownPolicy(unknown.clone()));
        }
        let jobs: Vec<(&String, u64)> =
            policies.iter().flat_map(|policy| seeds.iter().map(move |seed| (policy, *seed))).collect();
        each(&jobs, done, |(policy, seed)| self.run(policy, *seed)).into_iter().collect()
    }

    /// One run of any profile.
    pub fn run_profile(&self, profile: Profile, ties: Ties, seed: u64) -> Outcome {
        let rng = Rng::seeded(seed);
        let tasks = arrivals(&self.trace, &rng.fork());
        let mut nodes = self.trace.nodes.clone();
        shuffle(&mut nodes, &rng.fork());
        let policy = profile.name.to_string();
        let mut engine = Engine::new(vec![profile]);
        nodes.into_iter().for_each(|node| drop(engine.apply(&Event::Node(node))));
        let mut run = Run { capacity: self.trace.capacity(), arrived: 0, given: 0, placed: 0, refused: 0 };
        let mut curve = Vec::new();
        for (number, task) in tasks.into_iter().enumerate() {
            if run.arrived >= run.capacity {
                break;
            }
            run.arrived += task.ask.gpu();
            let pod = task.pod(&format!("{}-{number}", task.name));
            let choice = match ties {
                Ties::First => FIRST,
                Ties::Drawn => rng.next(),
            };
            let placed = engine.decide(0, &pod, choice).outcome.ok();
            match placed.filter(|placement| engine.reserve(0, &pod, &placement.node).is_ok()) {
                Some(_) => run.place(task.ask.gpu()),
                None => run.refused += 1,
            }
            if run.percent(run.arrived) >= (curve.len() + 1) as f64 {
                curve.push(run.point(&engine, &self.typical));
            }
        }
        let allocated = run.percent(run.given);
        Outcome { policy, seed, allocated, placed: run.placed, refused: run.refused, curve }
    }
}

/// Counts of one run.
struct Run {
    capacity: i64,
    arrived: i64,
    given: i64,
    placed: usize,
    refused: usize,
}

impl Run {
    fn place(&mut self, gpu: i64) {
        self.given += gpu;
        self.placed += 1;
    }

    fn percent(&self, amount: i64) -> f64 {
        100.0 * amount as f64 / self.capacity.max(1) as f64
    }

    fn point(&self, engine: &Engine, typical: &Typical) -> Point {
        let (view, devices) = (engine.view(), Devices::of(engine.view()));
        let fragmented: f64 = view.present().iter().map(|slot| typical.fragmentation(&devices.node(slot))).sum();
        Point {
            arrived: self.percent(self.arrived),
            allocated: self.percent(self.given),
            fragmented: 100.0 * fragmented / self.capacity.max(1) as f64,
        }
    }
}

/// Does something with each item on all cores; results in the order of the items.
pub(crate) fn each<T: Sync, R: Send>(items: &[T], done: impl Fn(usize) + Sync, act: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let (next, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let results: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::with_capacity(items.len()));
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(items.len().max(1));
    let work = || {
        while let Some((at, item)) = take(&next, items) {
            let result = act(item);
            results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((at, result));
            done(ended.fetch_add(1, Ordering::Relaxed) + 1);
        }
    };
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

fn take<'a, T>(next: &AtomicUsize, items: &'a [T]) -> Option<(usize, &'a T)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    items.get(at).map(|item| (at, item))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_seed_chooses_the_first() {
        assert!([1, 2, 7, 1213, u64::from(u32::MAX)].iter().all(|ties| Rng::seeded(FIRST).below(*ties) == 0));
    }
}
