//! The checker takes what is right, and finds each kind of wrong.

mod exhaustive;
mod mutations;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use orc_core::Revision;
use orc_core::env::System;

use super::{History, Log, read_log};
use crate::backend::{Backend, MemoryBackend, RawEvent, RawRecord};
use crate::testing::conformance::Conformance;
use crate::testing::{FaultPlan, FaultyBackend};

/// A put as a log has it.
fn put(key: &str, value: &str, at: u64) -> RawEvent {
    let (key, value) = (Bytes::from(key.to_owned()), Bytes::from(value.to_owned()));
    RawEvent::Put(RawRecord { key, value, revision: Revision(at) })
}

/// A history of callers whose calls overlap in virtual time, some of them without answer, and its log.
async fn recorded(seed: u64) -> (Log, History) {
    let system = System::seeded(seed, "2026-01-01T00:00:00Z".parse().unwrap());
    let memory: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
    let plan = FaultPlan {
        before: 30,
        after: 60,
        delays: 800,
        longest_delay: Duration::from_millis(50),
        ..FaultPlan::default()
    };
    let faulty = FaultyBackend::planned(memory.clone(), plan, &system);
    let kit = Conformance::of(|| async { unreachable!("the backend is at hand") }).seed(seed).operations(120);
    let history = kit.drive(faulty).await;
    let log = read_log(&memory, Revision(1), Vec::new()).await.unwrap();
    (log, history)
}
