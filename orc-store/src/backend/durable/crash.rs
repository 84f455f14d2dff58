//! Crashes at random points, over a fake disk that keeps "written" apart from "durable".

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use orc_core::Revision;
use orc_core::env::Rng;

use super::{DurableBackend, DurableConfig};
use crate::backend::{Backend, BackendError, Durability, Expect, KeyRange, Page, RawChange, RawKey};
use crate::testing::{DiskFault, DiskOp, FakeDisk};

/// Everything small, so that a short run turns segments over and folds.
pub(super) fn small() -> DurableConfig {
    DurableConfig {
        segment_bytes: 24 << 10,
        fold_bytes: 12 << 10,
        fold_changes: 12,
        log_bytes: 48 << 10,
        cache_bytes: 1 << 20,
        ..DurableConfig::new("/fake")
    }
}

pub(super) fn open(disk: &FakeDisk) -> Result<DurableBackend, BackendError> {
    DurableBackend::open_on(Arc::new(disk.clone()), small())
}

/// What the world knows of a store: acknowledged states, and revisions that were seen.
#[derive(Clone, Default)]
struct Known {
    durable: BTreeMap<RawKey, (Revision, Option<Bytes>)>,
    /// What may be found instead of the durable state: relaxed changes and changes whose answer never came.
    maybe: BTreeMap<RawKey, Vec<Option<Bytes>>>,
    seen: BTreeSet<Revision>,
}

/// Writes until the power fails.
async fn work(backend: &DurableBackend, known: &mut Known, rng: &Rng, operations: usize) {
    let records = backend.scan(KeyRange::all(), None, Page { limit: usize::MAX }).await.unwrap().records;
    let mut now: BTreeMap<RawKey, Revision> = records.into_iter().map(|record| (record.key, record.revision)).collect();
    for _ in 0..operations {
        let key = Bytes::from(format!("/things/n/{}", rng.below(8)));
        let present = now.get(&key).copied();
        let value = (present.is_none() || rng.below(4) > 0)
            .then(|| Bytes::from(format!("{}:{}", rng.next(), "x".repeat(usize::try_from(rng.below(3000)).unwrap()))));
        let durability = if rng.below(3) > 0 { Durability::Durable } else { Durability::Relaxed };
        let expect = present.map_or(Expect::Absent, Expect::At);
        let change = RawChange { key: key.clone(), value: value.clone(), expect, durability, ttl: None };
        match backend.commit(change).await {
            Ok(revision) => {
                assert!(known.seen.insert(revision), "revision {revision} was used twice");
                match value {
                    Some(_) => now.insert(key.clone(), revision),
                    None => now.remove(&key),
                };
                if durability == Durability::Durable {
                    // It took the relaxed changes before it along.
                    for (key, mut values) in std::mem::take(&mut known.maybe) {
                        known.durable.insert(key, (revision, values.pop().flatten()));
                    }
                    known.durable.insert(key, (revision, value));
                } else {
                    known.maybe.entry(key).or_default().push(value);
                }
            }
            Err(BackendError::ReadOnly(_)) => {
                known.maybe.entry(key).or_default().push(value);
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Everything that was acknowledged is there, and nothing else than what may be.
async fn check(backend: &DurableBackend, known: &mut Known) {
    if let Err(broken) = holds(backend, known).await {
        panic!("{broken}");
    }
}

async fn holds(backend: &DurableBackend, known: &mut Known) -> Result<(), String> {
    let page = backend.scan(KeyRange::all(), None, Page { limit: usize::MAX }).await.unwrap();
    let mut found: BTreeMap<RawKey, (Revision, Bytes)> =
        page.records.into_iter().map(|record| (record.key, (record.revision, record.value))).collect();
    let keys: BTreeSet<RawKey> = known.durable.keys().chain(known.maybe.keys()).chain(found.keys()).cloned().collect();
    for key in keys {
        let here = found.remove(&key);
        let value = here.as_ref().map(|(_, value)| value.clone());
        let durable = known.durable.get(&key).and_then(|(_, value)| value.clone());
        let others = known.maybe.remove(&key).unwrap_or_default();
        let fits = value == durable || others.contains(&value);
        if !fits {
            return Err(format!("{key:?} is {here:?}, acknowledged {:?}", known.durable.get(&key)));
        }
        // What is there now is durable.
        known.durable.insert(key, (here.map_or(Revision::ZERO, |(revision, _)| revision), value));
    }
    let newest = known.seen.last().copied().unwrap_or_default();
    if page.at < newest {
        return Err(format!("the revision went back from {newest} to {}", page.at));
    }
    Ok(())
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_and_no_revision_is_used_twice() {
    // A longer exploration: ORC_STORE_CRASH_SEEDS=5000 cargo test -p orc-store --features durable crash
    let seeds = std::env::var("ORC_STORE_CRASH_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(40);
    for seed in 0..seeds {
        let rng = Rng::seeded(seed);
        let mut disk = FakeDisk::new();
        let mut known = Known::default();
        drop(open(&disk).unwrap());
        for _ in 0..4 {
            let backend = open(&disk).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            check(&backend, &mut known).await;
            disk.fail_after(rng.below(160));
            work(&backend, &mut known, &rng, 40).await;
            let crashed = disk.crashed(&rng);
            drop(backend);
            disk = crashed;
        }
        let backend = open(&disk).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        check(&backend, &mut known).await;
    }
}

/// One life: opens, works, stops. Folds and turns segments over several times.
async fn life(disk: &FakeDisk, known: &mut Known) -> Result<(), BackendError> {
    let backend = open(disk)?;
    work(&backend, known, &Rng::seeded(5), 40).await;
    backend.close();
    Ok(())
}

/// A crash at every operation of a small life, on a new folder and on a used one, and another in the recovery from it.
#[tokio::test]
async fn a_crash_at_any_step_loses_nothing() {
    let used = FakeDisk::new();
    let mut known_used = Known::default();
    life(&used, &mut known_used).await.unwrap();
    for (start, known_before) in [(FakeDisk::new(), Known::default()), (used, known_used)] {
        let mut step = 0;
        loop {
            let rng = Rng::seeded(step);
            let disk = start.crashed(&rng);
            let mut known = known_before.clone();
            disk.fail_after(step);
            let opened = life(&disk, &mut known).await;
            assert!(matches!(opened, Ok(()) | Err(BackendError::Open(_))), "step {step}: {opened:?}");
            let whole = disk.operations() <= step;
            for _ in 0..2 {
                let crashed = disk.crashed(&rng);
                crashed.fail_after(rng.below(25));
                drop(open(&crashed));
                let again = crashed.crashed(&rng);
                let backend = open(&again).unwrap_or_else(|error| panic!("step {step}: {error}"));
                let mut known = known.clone();
                if let Err(broken) = holds(&backend, &mut known).await {
                    panic!("step {step}: {broken}");
                }
            }
            if whole {
                break;
            }
            step += 1;
        }
        assert!(step > 80, "the life is too short to try much: {step} steps");
    }
}

/// The checks above can fail: on a disk that drops syncs, they do.
#[tokio::test]
async fn a_lying_disk_is_noticed() {
    let mut noticed = 0;
    for seed in 0..20 {
        let (disk, rng) = (FakeDisk::new(), Rng::seeded(seed));
        drop(open(&disk).unwrap());
        disk.lie(true);
        let mut known = Known::default();
        let backend = open(&disk).unwrap();
        work(&backend, &mut known, &rng, 30).await;
        let crashed = disk.crashed(&rng);
        drop(backend);
        noticed += usize::from(match open(&crashed) {
            Ok(backend) => holds(&backend, &mut known).await.is_err(),
            Err(error) => matches!(error, BackendError::Corrupt(_)),
        });
    }
    assert!(noticed > 15, "only {noticed} of 20 were noticed");
}

/// After a failed sync nothing is retried as if it were well, and what was acknowledged before is there after a restart.
#[tokio::test]
async fn a_failed_sync_ends_writing_for_good() {
    for after in 0..30 {
        let (disk, rng) = (FakeDisk::new(), Rng::seeded(after));
        let mut known = Known::default();
        let backend = open(&disk).unwrap();
        let kind = std::io::ErrorKind::Other;
        disk.fault(Some(DiskFault { after, of: Some(DiskOp::Sync), kind, lasting: false }));
        work(&backend, &mut known, &rng, 200).await;
        let why = backend.failure().unwrap_or_else(|| panic!("sync {after} did not fail"));
        assert!(why.contains("a fault of the test") && why.contains("restart orc"), "{why}");
        work(&backend, &mut known, &rng, 1).await;
        assert_eq!(backend.failure(), Some(why));
        backend.close();
        let crashed = disk.crashed(&rng);
        check(&open(&crashed).unwrap(), &mut known).await;
    }
}

#[tokio::test]
async fn reads_go_on_when_the_disk_fails() {
    let disk = FakeDisk::new();
    let backend = open(&disk).unwrap();
    let put = |value: &'static str| RawChange {
        key: Bytes::from_static(b"/things/n/a"),
        value: Some(Bytes::from_static(value.as_bytes())),
        expect: Expect::Absent,
        durability: Durability::Durable,
        ttl: None,
    };
    backend.commit(put("one")).await.unwrap();
    disk.fail_after(0);
    let other = RawChange { key: Bytes::from_static(b"/things/n/b"), ..put("two") };
    let refused = backend.commit(other.clone()).await.unwrap_err();
    assert!(refused.to_string().contains("the power failed"), "{refused}");
    assert!(backend.failure().is_some());
    let relaxed = RawChange { durability: Durability::Relaxed, ..other };
    assert!(matches!(backend.commit(relaxed).await, Err(BackendError::ReadOnly(_))));
    let page = backend.scan(KeyRange::all(), None, Page { limit: 10 }).await.unwrap();
    assert_eq!(page.records.len(), 1);
    assert_eq!(page.records[0].value, "one");
}
