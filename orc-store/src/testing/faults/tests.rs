use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use orc_core::env::System;

use super::*;
use crate::backend::{Durability, Expect, MemoryBackend};
use crate::testing::history::change;

fn system(seed: u64) -> System {
    System::seeded(seed, "2026-01-01T00:00:00Z".parse().unwrap())
}

fn put(n: usize) -> RawChange {
    let key = Bytes::from(format!("/things/n/{n}"));
    change(key, Some(Bytes::from(format!("{n}"))), Expect::Absent, Durability::Durable)
}

/// What a caller sees of 300 commits and a feed, with the virtual time of each.
async fn trace(seed: u64) -> (Vec<String>, FaultCounts, usize) {
    let (memory, system) = (Arc::new(MemoryBackend::new()), system(seed));
    let faulty = FaultyBackend::planned(memory.clone(), FaultPlan::rough(), &system);
    let mut trace = Vec::new();
    for n in 0..300 {
        let told = faulty.commit(put(n)).await;
        trace.push(format!("{} {told:?}", system.clock.now()));
    }
    let made = memory.scan(KeyRange::all(), None, Page { limit: usize::MAX }).await.unwrap().records.len();
    for _ in 0..20 {
        if let Ok(mut feed) = faulty.feed(Revision(1)).await {
            let end = loop {
                match feed.next().await {
                    Some(Ok(event)) if revision_of(&event) > made as u64 => break None,
                    Some(Ok(_)) => {}
                    other => break other,
                }
            };
            trace.push(format!("{} {end:?}", system.clock.now()));
        }
    }
    (trace, faulty.counts(), made)
}

fn revision_of(event: &crate::backend::RawEvent) -> u64 {
    crate::testing::history::revision(event).0
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_faults() {
    let (first, counts, made) = trace(3).await;
    assert!(counts.unheard > 0 && counts.unanswered > 0 && counts.cuts > 0, "{counts:?}");
    assert_eq!(made, 300 - counts.unheard, "lost answers are of changes that were made");
    assert_eq!(first, trace(3).await.0);
    assert_ne!(first, trace(4).await.0);
}

#[tokio::test(start_paused = true)]
async fn calm_backends_pass_everything_on() {
    let plan = FaultPlan { before: 1000, ..FaultPlan::CALM };
    let faulty = FaultyBackend::planned(Arc::new(MemoryBackend::new()), plan, &system(1));
    assert!(matches!(faulty.commit(put(1)).await, Err(BackendError::Unavailable(_))));
    faulty.calm_down();
    faulty.commit(put(1)).await.unwrap();
    let delays = FaultPlan { delays: 1000, longest_delay: Duration::from_secs(3600), ..FaultPlan::CALM };
    let slow = FaultyBackend::planned(Arc::new(MemoryBackend::new()), delays, &system(1));
    let before = tokio::time::Instant::now();
    slow.bounds().await.unwrap();
    assert!(before.elapsed() > Duration::from_secs(1), "virtual waits are real to the clock");
}
