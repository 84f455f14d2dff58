//! A medium in memory that keeps written apart from durable: to try the day itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream;
use orc_core::Revision;
use orc_core::env::Rng;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::Medium;
use crate::backend::{
    Backend, BackendError, Bounds, Durability, Expect, KeyRange, Page, RawChange, RawEvent, RawFeed, RawKey, RawPage,
    RawRecord,
};
use crate::testing::history::revision;

type Map = BTreeMap<RawKey, (Bytes, Revision)>;

/// What is wrong with a tape: for trying whether it is noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Defect {
    /// A crash takes the last durable change.
    LosesAcknowledged,
    /// A crash takes a relaxed change from the middle and keeps later ones.
    LosesFromTheMiddle,
    /// A clean stop loses what was not synced.
    LosesAtStop,
    /// After a crash revisions go on right behind what is left.
    ReusesRevisions,
    /// After a crash a change is there that nobody made.
    InventsChanges,
    /// A change that was refused for lack of power is in the log all the same, with another value.
    GarblesChanges,
    /// Feeds leave out every hundredth change.
    FeedsWithGaps,
}

/// A medium in memory: durable changes reach it at once, relaxed ones with the next durable one; a step of I/O is a
/// durable change.
#[derive(Default)]
pub struct Tape {
    durable: Map,
    mark: Revision,
    steps: Option<u64>,
    defect: Option<Defect>,
    open: Option<Arc<TapeBackend>>,
}

struct TapeBackend {
    state: Arc<Mutex<State>>,
    start: Revision,
    defect: Option<Defect>,
    news: watch::Sender<()>,
}

struct State {
    map: Map,
    events: Vec<RawEvent>,
    last: Revision,
    /// How many events are durable.
    synced: usize,
    steps: Option<u64>,
    failed: bool,
    /// A change whose answer was lost with the power.
    torn: Option<RawEvent>,
}

impl Tape {
    /// An empty tape.
    pub fn new() -> Self {
        Self { mark: Revision(1), ..Self::default() }
    }

    /// A tape with a defect. A day over it must fail.
    pub fn with(defect: Defect) -> Self {
        Self { defect: Some(defect), ..Self::new() }
    }

    fn is(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    fn keep(&mut self, events: &[RawEvent]) {
        for event in events {
            apply(&mut self.durable, event);
            self.mark = self.mark.max(revision(event));
        }
    }
}

impl Medium for Tape {
    async fn open(&mut self) -> Result<Arc<dyn Backend>, BackendError> {
        let state = State {
            map: self.durable.clone(),
            events: Vec::new(),
            last: self.mark,
            synced: 0,
            steps: self.steps.take(),
            failed: false,
            torn: None,
        };
        let news = watch::Sender::new(());
        let opened = TapeBackend { state: Arc::new(Mutex::new(state)), start: self.mark, defect: self.defect, news };
        let opened = Arc::new(opened);
        self.open = Some(opened.clone());
        Ok(opened)
    }

    fn fail_after(&mut self, steps: u64) {
        self.steps = Some(steps);
    }

    async fn crash(&mut self, rng: &Rng) {
        let Some(backend) = self.open.take() else { return };
        let state = backend.state.lock();
        let synced = state.synced - usize::from(self.is(Defect::LosesAcknowledged) && state.synced > 0);
        self.keep(&state.events[..synced]);
        let rest = &state.events[state.synced..];
        let kept = if self.is(Defect::LosesAcknowledged) { 0 } else { rng.below(rest.len() as u64 + 1) as usize };
        let first = usize::from(self.is(Defect::LosesFromTheMiddle) && rest.len() > 1);
        self.keep(&rest[first.min(kept)..kept]);
        if kept == rest.len() && rng.below(2) == 0 {
            self.keep(state.torn.as_slice());
        }
        if self.is(Defect::InventsChanges) {
            let body = Bytes::from_static(br#"{"kind":"Pod","metadata":{"name":"x","namespace":"a"}}"#);
            self.durable.insert(Bytes::from_static(b"/pods/a/x"), (body, state.last.next()));
        }
        if !self.is(Defect::ReusesRevisions) {
            self.mark = Revision(state.last.0 + 100);
        }
    }

    async fn stop(&mut self) {
        let Some(backend) = self.open.take() else { return };
        let state = backend.state.lock();
        let kept = if self.is(Defect::LosesAtStop) { state.synced } else { state.events.len() };
        self.keep(&state.events[..kept]);
        self.mark = state.last;
    }
}

fn apply(map: &mut Map, event: &RawEvent) {
    match event {
        RawEvent::Put(record) => drop(map.insert(record.key.clone(), (record.value.clone(), record.revision))),
        RawEvent::Delete { key, .. } => drop(map.remove(key)),
        RawEvent::Progress(_) => {}
    }
}

impl State {
    /// The first change after a revision, and the last revision.
    fn after(&self, at: Revision) -> (Option<RawEvent>, Revision) {
        let next = self.events.partition_point(|event| revision(event) <= at);
        (self.events.get(next).cloned(), self.last)
    }

    /// Makes a durable change of the next step, or fails.
    fn step(&mut self, event: &RawEvent, defect: Option<Defect>) -> Result<(), BackendError> {
        match &mut self.steps {
            Some(0) => {
                self.failed = true;
                self.torn = Some(match (event.clone(), defect) {
                    (RawEvent::Put(record), Some(Defect::GarblesChanges)) => {
                        let value = Bytes::from_static(br#"{"kind":"Pod","metadata":{"name":"y"}}"#);
                        RawEvent::Put(RawRecord { value, ..record })
                    }
                    (event, _) => event,
                });
                Err(no_power())
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

fn no_power() -> BackendError {
    BackendError::ReadOnly("the power failed".to_owned())
}

#[async_trait]
impl Backend for TapeBackend {
    async fn commit(&self, change: RawChange) -> Result<Revision, BackendError> {
        let mut state = self.state.lock();
        if state.failed {
            return Err(no_power());
        }
        let now = state.map.get(&change.key).map(|(_, revision)| *revision);
        let met = match change.expect {
            Expect::Absent => now.is_none() && change.value.is_some(),
            Expect::At(at) => now == Some(at),
        };
        if !met {
            return Err(BackendError::Unmet { now });
        }
        let revision = state.last.next();
        let key = change.key;
        let event = match change.value {
            Some(value) => RawEvent::Put(RawRecord { key, value, revision }),
            None => RawEvent::Delete { key, revision },
        };
        if change.durability == Durability::Durable {
            state.step(&event, self.defect)?;
            state.synced = state.events.len() + 1;
        }
        state.last = revision;
        apply(&mut state.map, &event);
        state.events.push(event);
        drop(state);
        self.news.send_replace(());
        Ok(revision)
    }

    async fn scan(&self, range: KeyRange, at: Option<Revision>, page: Page) -> Result<RawPage, BackendError> {
        let state = self.state.lock();
        if let Some(asked) = at.filter(|at| *at != state.last) {
            return Err(BackendError::Compacted { asked, floor: state.last });
        }
        let inside = |key: &RawKey| range.end.as_ref().is_none_or(|end| key < end);
        let mut found = state.map.range(range.start.clone()..).take_while(|(key, _)| inside(key));
        let record = |(key, (value, at)): (&RawKey, &(Bytes, Revision))| RawRecord {
            key: key.clone(),
            value: value.clone(),
            revision: *at,
        };
        let records = found.by_ref().take(page.limit.max(1)).map(record).collect();
        Ok(RawPage { records, at: state.last, next: found.next().map(|(key, _)| key.clone()) })
    }

    async fn feed(&self, after: Revision) -> Result<RawFeed, BackendError> {
        if after < self.start {
            return Err(BackendError::Compacted { asked: after, floor: self.start });
        }
        let (gaps, mut news) = (self.defect == Some(Defect::FeedsWithGaps), self.news.subscribe());
        news.mark_changed();
        let tape = self.state.clone();
        Ok(Box::pin(stream::unfold((tape, news, after), move |(tape, mut news, at)| async move {
            loop {
                let (next, last) = tape.lock().after(at);
                match next {
                    Some(event) if gaps && revision(&event).0.is_multiple_of(100) => {
                        return Some((Ok(RawEvent::Progress(revision(&event))), (tape, news, revision(&event))));
                    }
                    Some(event) => {
                        let at = revision(&event);
                        return Some((Ok(event), (tape, news, at)));
                    }
                    None if last > at => return Some((Ok(RawEvent::Progress(last)), (tape, news, last))),
                    None => news.changed().await.ok()?,
                }
            }
        })))
    }

    async fn bounds(&self) -> Result<Bounds, BackendError> {
        Ok(Bounds { current: self.state.lock().last, compacted: self.start })
    }
}
