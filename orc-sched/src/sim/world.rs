//! One policy's cluster in virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use orc_core::Name;
use orc_core::env::Rng;

use super::record::{Recorder, Run};
use super::scale::{Autoscaler, IDLE_ROUNDS, Load, Scale};
use super::workload::{Act, Job};
use crate::engine::{Engine, Event};
use crate::plugin::Hint;
use crate::pod::PodInfo;
use crate::profile::Profile;

/// What is due.
enum Due {
    Act(Act),
    /// A pod has run its time, by its uid.
    Done(Name),
    /// The autoscaler is asked.
    Scale,
}

/// A pod that waits.
struct Waiting {
    job: Job,
    since: u64,
    /// The plugins that refused it last; `None` before it was tried, or once something may have helped.
    refused: Option<Vec<&'static str>>,
}

struct Running {
    job: Job,
    node: Name,
}

/// The cluster. Deciding takes no virtual time.
pub(super) struct World {
    engine: Engine,
    rng: Rng,
    now: u64,
    due: BTreeMap<(u64, u64), Due>,
    numbers: u64,
    /// By priority, then in the order in which they came.
    waiting: BTreeMap<(Reverse<i32>, u64), Waiting>,
    running: BTreeMap<Name, Running>,
    /// How many pods of each priority run.
    priorities: BTreeMap<i32, usize>,
    hints: BTreeSet<Hint>,
    coming: BTreeSet<Name>,
    recorder: Recorder,
}

impl World {
    pub(super) fn new(profile: Profile, seed: u64, recorder: Recorder) -> Self {
        Self {
            engine: Engine::new(vec![profile]),
            rng: Rng::seeded(seed),
            now: 0,
            due: BTreeMap::new(),
            numbers: 0,
            waiting: BTreeMap::new(),
            running: BTreeMap::new(),
            priorities: BTreeMap::new(),
            hints: BTreeSet::new(),
            coming: BTreeSet::new(),
            recorder,
        }
    }

    pub(super) fn plan(&mut self, time: u64, act: Act) {
        self.push(time, Due::Act(act));
    }

    /// A pod that has a node already.
    pub(super) fn place(&mut self, pod: &Arc<PodInfo>) {
        let Some(node) = pod.node.clone() else { return };
        self.engine.apply(&Event::Pod(pod.clone()));
        self.run_on(Job { pod: pod.clone(), runs: None }, node);
    }

    fn push(&mut self, time: u64, due: Due) {
        self.numbers += 1;
        self.due.insert((time, self.numbers), due);
    }

    /// Runs until nothing is due.
    pub(super) fn run(mut self, mut scaler: Option<&mut dyn Autoscaler>) -> Run {
        if scaler.is_some() {
            self.push(0, Due::Scale);
        }
        while let Some((&(now, _), _)) = self.due.first_key_value() {
            self.now = now;
            let mut scale = false;
            while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 == now) {
                match entry.remove() {
                    Due::Act(act) => self.act(act),
                    Due::Done(uid) => self.end(&uid),
                    Due::Scale => scale = true,
                }
            }
            self.wake();
            self.schedule();
            if let (true, Some(scaler)) = (scale, scaler.as_deref_mut()) {
                self.scale(scaler);
            }
            self.recorder.sample(now, self.engine.view(), self.waiting.len());
        }
        let left = self.waiting.values().map(|waiting| (self.now.saturating_sub(waiting.since), &waiting.job));
        self.recorder.finish(self.now, self.engine.view(), left.collect())
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Node(node) => {
                self.coming.remove(&node.name);
                self.apply(&Event::Node(node));
            }
            Act::NodeGone(name) => self.lose(&name),
            Act::Pod(job) => self.wait(job),
            Act::PodGone(uid) => {
                self.waiting.retain(|_, waiting| waiting.job.pod.uid != uid);
                self.end(&uid);
            }
            Act::Fact(key, fact) => self.apply(&Event::Fact(key, fact)),
            Act::FactGone(key) => self.apply(&Event::FactGone(key)),
        }
    }

    fn apply(&mut self, event: &Event) {
        self.hints.extend(self.engine.apply(event));
    }

    fn wait(&mut self, job: Job) {
        self.numbers += 1;
        let key = (Reverse(job.pod.priority), self.numbers);
        self.waiting.insert(key, Waiting { job, since: self.now, refused: None });
    }

    /// A node fails: its pods are made anew.
    fn lose(&mut self, name: &Name) {
        let on: Vec<Name> =
            self.running.iter().filter(|(_, running)| running.node == *name).map(|(uid, _)| uid.clone()).collect();
        for uid in on {
            self.recorder.restarted += 1;
            self.anew(&uid);
        }
        self.apply(&Event::NodeGone(name.clone()));
    }

    /// Ends a pod; another of its sort takes its place in the queue.
    fn anew(&mut self, uid: &Name) {
        let Some(running) = self.running.get(uid) else { return };
        let mut job = running.job.clone();
        let mut pod = PodInfo::clone(&job.pod);
        (pod.uid, pod.node, pod.nominated) = (Name::new(format!("{uid}'")), None, None);
        job.pod = Arc::new(pod);
        self.end(uid);
        self.wait(job);
    }

    fn end(&mut self, uid: &Name) {
        let Some(running) = self.running.remove(uid) else { return };
        let priority = running.job.pod.priority;
        let left = self.priorities.get_mut(&priority).map_or(0, |count| {
            *count -= 1;
            *count
        });
        if left == 0 {
            self.priorities.remove(&priority);
        }
        self.apply(&Event::PodGone(uid.clone()));
    }

    fn run_on(&mut self, job: Job, node: Name) {
        *self.priorities.entry(job.pod.priority).or_default() += 1;
        if let Some(runs) = job.runs {
            self.push(self.now.saturating_add(runs), Due::Done(job.pod.uid.clone()));
        }
        self.running.insert(job.pod.uid.clone(), Running { job, node });
    }

    /// Lets pods try again that something may have helped.
    fn wake(&mut self) {
        let hints = std::mem::take(&mut self.hints);
        let plugins = &self.engine.profiles()[0].plugins;
        let helped: BTreeSet<&str> = plugins
            .iter()
            .filter(|(plugin, _)| hints.iter().any(|hint| plugin.helped_by(*hint)))
            .map(|(plugin, _)| plugin.name())
            .collect();
        for waiting in self.waiting.values_mut() {
            // Nobody refused it where there were no nodes.
            let hopeful = |by: &Vec<&'static str>| by.is_empty() || by.iter().any(|plugin| helped.contains(plugin));
            if !hints.is_empty() && waiting.refused.as_ref().is_some_and(hopeful) {
                waiting.refused = None;
            }
        }
    }

    fn schedule(&mut self) {
        // Where one pod found no room, one like it finds none either: until somebody leaves there is only less.
        let mut hopeless: Vec<Arc<PodInfo>> = Vec::new();
        let ready = self.waiting.iter().filter(|(_, waiting)| waiting.refused.is_none());
        for key in ready.map(|(key, _)| *key).collect::<Vec<_>>() {
            let Some(waiting) = self.waiting.get(&key) else { continue };
            let pod = waiting.job.pod.clone();
            if hopeless.iter().any(|other| other.priority == pod.priority && other.same_wish(&pod)) {
                self.refuse(key, Vec::new());
                continue;
            }
            match self.decide(&pod) {
                Ok(node) => self.bind(key, &node),
                Err((plugins, freed)) => {
                    if freed {
                        hopeless.clear();
                    } else if pod.affinity.terms().next().is_none() && pod.spread.is_empty() && pod.gang.is_none() {
                        hopeless.push(pod);
                    }
                    self.refuse(key, plugins);
                }
            }
        }
    }

    fn refuse(&mut self, key: (Reverse<i32>, u64), plugins: Vec<&'static str>) {
        if let Some(waiting) = self.waiting.get_mut(&key) {
            waiting.refused = Some(plugins);
        }
    }

    /// Where a pod goes, others taken away for it where that helps; else who refused it, and whether somebody left.
    fn decide(&mut self, pod: &Arc<PodInfo>) -> Result<Name, (Vec<&'static str>, bool)> {
        let seed = self.rng.next();
        let refused = match self.engine.decide(0, pod, seed).outcome {
            Ok(placement) => return Ok(placement.node),
            Err(error) => error.plugins(),
        };
        let lower = self.priorities.range(..pod.priority).next().is_some();
        if !lower || !self.preempt(pod) {
            return Err((refused, false));
        }
        let seed = self.rng.next();
        let placed = self.engine.decide(0, pod, seed).outcome;
        placed.map(|placement| placement.node).map_err(|error| (error.plugins(), true))
    }

    fn preempt(&mut self, pod: &Arc<PodInfo>) -> bool {
        let filters = self.engine.profiles()[0].points.post_filter.clone();
        let seed = self.rng.next();
        let found = filters.iter().find_map(|filter| filter.rescue(&mut self.engine, 0, pod, seed).ok());
        let Some(found) = found else { return false };
        self.recorder.preemptions += 1;
        found.displaced.iter().for_each(|other| _ = self.engine.clear(&other.uid));
        self.engine.nominate(pod, &found.node);
        for victim in &found.plan.victims {
            self.recorder.victims += 1;
            self.anew(&victim.uid);
        }
        true
    }

    fn bind(&mut self, key: (Reverse<i32>, u64), node: &Name) {
        let Some(waiting) = self.waiting.get(&key) else { return };
        match self.engine.reserve(0, &waiting.job.pod, node) {
            Ok(_) => {
                self.recorder.placed(self.now.saturating_sub(waiting.since));
                let job = waiting.job.clone();
                self.waiting.remove(&key);
                self.run_on(job, node.clone());
            }
            // What was offered is gone; the pod is tried again at the next change.
            Err(_) => self.refuse(key, Vec::new()),
        }
    }

    fn scale(&mut self, scaler: &mut dyn Autoscaler) {
        let waiting: Vec<_> = self.waiting.values().map(|waiting| waiting.job.pod.clone()).collect();
        let load = Load { now: self.now, view: self.engine.view(), waiting: &waiting, coming: self.coming.len() };
        let scales = scaler.scale(&load);
        let changed = !scales.is_empty();
        for scale in scales {
            match scale {
                Scale::Add(node, after) => {
                    self.coming.insert(node.name.clone());
                    self.plan(self.now + after, Act::Node(node));
                }
                Scale::Remove(name) => self.lose(&name),
            }
        }
        // With nothing further due, only the scaler itself can change anything, and it gets some rounds to do so.
        self.recorder.idle_rounds = if changed || !self.due.is_empty() { 0 } else { self.recorder.idle_rounds + 1 };
        if self.recorder.idle_rounds <= IDLE_ROUNDS {
            self.push(self.now + scaler.every().max(1), Due::Scale);
        }
    }
}
