//! Crashes at random points, over a fake disk that keeps "written" apart from "durable".

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use orc_core::Revision;
use orc_core::env::Rng;
use parking_lot::Mutex;
use redb::{Database, StorageBackend};

use super::{DurableBackend, DurableConfig};
use crate::backend::{Backend, BackendError, Durability, Expect, KeyRange, Page, RawChange, RawKey};

/// What a disk may lose and tear: writes since the last sync, in parts of a sector.
const SECTOR: usize = 512;

#[derive(Debug, Clone)]
enum Op {
    Write(u64, Vec<u8>),
    Length(u64),
}

#[derive(Debug, Default)]
struct Disk {
    written: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Op>,
    /// Operations until the power fails.
    left: Option<u64>,
}

#[derive(Debug, Clone, Default)]
struct FakeDisk(Arc<Mutex<Disk>>);

impl Disk {
    fn spend(&mut self) -> io::Result<()> {
        match &mut self.left {
            Some(0) => Err(io::Error::other("the power failed")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

fn apply(image: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Length(length) => image.resize(usize::try_from(*length).unwrap(), 0),
        Op::Write(at, data) => {
            let at = usize::try_from(*at).unwrap();
            if image.len() < at + data.len() {
                image.resize(at + data.len(), 0);
            }
            image[at..at + data.len()].copy_from_slice(data);
        }
    }
}

impl FakeDisk {
    fn fail_after(&self, operations: u64) {
        self.0.lock().left = Some(operations);
    }

    /// The disk after a crash: what was synced, and an arbitrary part of what was written since, torn at sectors.
    fn crashed(&self, rng: &Rng) -> Self {
        let disk = self.0.lock();
        let mut image = disk.durable.clone();
        for op in &disk.unsynced {
            match op {
                // Lengths are metadata: the journal of a file system keeps their order, so a write that survived keeps them.
                Op::Length(_) => apply(&mut image, op),
                Op::Write(at, data) => {
                    for (sector, part) in data.chunks(SECTOR).enumerate() {
                        if rng.below(2) == 0 {
                            apply(&mut image, &Op::Write(at + (sector * SECTOR) as u64, part.to_vec()));
                        }
                    }
                }
            }
        }
        Self(Arc::new(Mutex::new(Disk { written: image.clone(), durable: image, ..Disk::default() })))
    }
}

impl StorageBackend for FakeDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().written.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.0.lock();
        let from = usize::try_from(offset).unwrap();
        let part = disk.written.get(from..from + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(part);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.do_op(Op::Length(length))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.0.lock();
        disk.spend()?;
        for op in std::mem::take(&mut disk.unsynced) {
            apply(&mut disk.durable, &op);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.do_op(Op::Write(offset, data.to_vec()))
    }
}

impl FakeDisk {
    fn do_op(&self, op: Op) -> io::Result<()> {
        let mut disk = self.0.lock();
        disk.spend()?;
        apply(&mut disk.written, &op);
        disk.unsynced.push(op);
        Ok(())
    }
}

fn open(disk: &FakeDisk) -> Result<DurableBackend, BackendError> {
    let config = DurableConfig::new("/fake");
    let database = super::load::guarded(&config.path, || {
        Database::builder().create_with_backend(disk.clone()).map_err(|e| super::load::open_error(&config.path, e))
    })?;
    let loaded = super::load::load(&config.path, &database)?;
    DurableBackend::over(database, loaded, &config)
}

/// What the world knows of a store: acknowledged states, and revisions that were seen.
#[derive(Default)]
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
        let change = RawChange { key: key.clone(), value: value.clone(), expect, durability };
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
        assert!(fits, "{key:?} is {here:?}, acknowledged {:?}", known.durable.get(&key));
        // What is there now is durable.
        known.durable.insert(key, (here.map_or(Revision::ZERO, |(revision, _)| revision), value));
    }
    let newest = known.seen.last().copied().unwrap_or_default();
    assert!(page.at >= newest, "the revision went back from {newest} to {}", page.at);
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_and_no_revision_is_used_twice() {
    // A longer exploration: ORC_STORE_CRASH_SEEDS=5000 cargo test -p orc-store --features durable crash
    let seeds = std::env::var("ORC_STORE_CRASH_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(40);
    for seed in 0..seeds {
        let rng = Rng::seeded(seed);
        let mut disk = FakeDisk::default();
        let mut known = Known::default();
        drop(open(&disk).unwrap());
        for _ in 0..4 {
            let backend = open(&disk).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            check(&backend, &mut known).await;
            disk.fail_after(rng.below(120));
            work(&backend, &mut known, &rng, 40).await;
            let crashed = disk.crashed(&rng);
            drop(backend);
            disk = crashed;
        }
        let backend = open(&disk).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        check(&backend, &mut known).await;
    }
}

#[tokio::test]
async fn reads_go_on_when_the_disk_fails() {
    let disk = FakeDisk::default();
    let backend = open(&disk).unwrap();
    let put = |value: &'static str| RawChange {
        key: Bytes::from_static(b"/things/n/a"),
        value: Some(Bytes::from_static(value.as_bytes())),
        expect: Expect::Absent,
        durability: Durability::Durable,
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
