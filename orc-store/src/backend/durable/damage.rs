//! A log that was damaged, a disk that is full, a folder of format 1.

use std::io::ErrorKind;
use std::sync::Arc;

use bytes::Bytes;
use orc_core::Revision;
use orc_core::env::Rng;
use redb::Database;

use super::crash::{open, small};
use super::disk::{Disk, OpenMode};
use super::format::{META, OBJECTS, crc, encode};
use super::frame::BLOCK;
use super::medium::Medium;
use super::{DurableBackend, DurableConfig};
use crate::backend::{Backend, BackendError, Durability, Expect, KeyRange, Page, RawChange, RawRecord};
use crate::testing::{DiskFault, DiskOp, FakeDisk};

fn put(name: &str, bytes: usize, durability: Durability) -> RawChange {
    let (key, value) = (Bytes::from(format!("/things/n/{name}")), Some(Bytes::from("x".repeat(bytes))));
    RawChange { key, value, expect: Expect::Absent, durability, ttl: None }
}

async fn records(backend: &DurableBackend) -> Vec<RawRecord> {
    backend.scan(KeyRange::all(), None, Page { limit: usize::MAX }).await.unwrap().records
}

/// A disk as a crash leaves it whose log has `frames` frames of a block each, and nothing of them in the base.
async fn with_log(config: &DurableConfig, frames: usize) -> FakeDisk {
    let disk = FakeDisk::new();
    let backend = DurableBackend::open_on(Arc::new(disk.clone()), config.clone()).unwrap();
    for n in 0..frames {
        backend.commit(put(&format!("{n:03}"), 100, Durability::Durable)).await.unwrap();
    }
    disk.crashed(&Rng::seeded(1))
}

fn unfolded() -> DurableConfig {
    DurableConfig { fold_bytes: 1 << 30, fold_changes: 1 << 30, log_bytes: 1 << 30, ..small() }
}

fn segments(disk: &FakeDisk) -> Vec<String> {
    disk.list().unwrap().into_iter().filter(|name| super::log::number(name).is_some()).collect()
}

#[tokio::test]
async fn damage_before_the_end_is_told_and_nothing_is_changed() {
    let whole = with_log(&unfolded(), 12).await;
    let files = segments(&whole);
    assert!(files.len() > 2, "the log turns over: {files:?}");
    let rng = Rng::seeded(3);
    let last = files.last().unwrap();
    for (number, file) in files.iter().enumerate() {
        let frames = whole.content(file).unwrap().len() as u64 / BLOCK;
        for block in 0..frames {
            let used = if block == 0 { 36 } else { 64 };
            let disk = whole.crashed(&rng);
            disk.flip_bit(file, (block * BLOCK + rng.below(used)) * 8 + rng.below(8));
            let (before, names) = (disk.operations(), disk.list().unwrap());
            let opened = DurableBackend::open_on(Arc::new(disk.clone()), unfolded());
            match opened {
                Err(error) => {
                    assert!(matches!(error, BackendError::Corrupt(_)), "{file} block {block}: {error}");
                    assert!(error.to_string().contains("from a backup"), "{error}");
                    assert_eq!((before, names), (disk.operations(), disk.list().unwrap()), "it was changed");
                }
                // The last frame is not told from one that a crash tore; blocks behind it hold nothing.
                Ok(backend) => {
                    assert_eq!(file, last, "{file} (number {number}) block {block}");
                    assert!(records(&backend).await.len() >= 11);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_missing_segment_is_told() {
    let whole = with_log(&unfolded(), 12).await;
    for file in segments(&whole) {
        let disk = whole.crashed(&Rng::seeded(1));
        disk.remove(&file).unwrap();
        let error = DurableBackend::open_on(Arc::new(disk), unfolded()).err().unwrap();
        assert!(matches!(error, BackendError::Corrupt(_)));
        assert!(error.to_string().contains(&format!("segment {file} is missing")), "{error}");
    }
}

#[tokio::test]
async fn a_torn_last_frame_is_the_end() {
    let whole = with_log(&unfolded(), 2).await;
    let file = segments(&whole).pop().unwrap();
    for part in 0..8 {
        let disk = whole.crashed(&Rng::seeded(1));
        let mut content = disk.content(&file).unwrap();
        let at = usize::try_from(2 * BLOCK).unwrap() + part * 512;
        content[at..at + 512].fill(0);
        disk.put(&file, &content);
        let opened = DurableBackend::open_on(Arc::new(disk), unfolded()).unwrap();
        // The frame's bytes are in its first sector; the others are padding.
        assert_eq!(records(&opened).await.len(), if part == 0 { 1 } else { 2 });
    }
}

#[tokio::test]
async fn a_crash_without_relaxed_changes_skips_no_revision() {
    let disk = with_log(&unfolded(), 5).await;
    let backend = DurableBackend::open_on(Arc::new(disk), unfolded()).unwrap();
    assert_eq!(backend.bounds().await.unwrap().current, Revision(6));
}

#[tokio::test]
async fn a_value_larger_than_a_segment_gets_one_of_its_own() {
    let disk = FakeDisk::new();
    let backend = open(&disk).unwrap();
    for (name, bytes) in [("a", 10), ("b", 100_000), ("c", 10), ("d", 200_000), ("e", 10)] {
        backend.commit(put(name, bytes, Durability::Durable)).await.unwrap();
    }
    let crashed = disk.crashed(&Rng::seeded(2));
    let found = records(&open(&crashed).unwrap()).await;
    assert_eq!(found.iter().map(|one| one.value.len()).collect::<Vec<_>>(), [10, 100_000, 10, 200_000, 10]);
}

#[tokio::test]
async fn a_full_disk_is_told_and_passes_by_itself() {
    let disk = FakeDisk::new();
    let backend = open(&disk).unwrap();
    disk.capacity(Some(disk.used()));
    let mut done = 0;
    let refused = loop {
        match backend.commit(put(&done.to_string(), 3000, Durability::Durable)).await {
            Ok(_) => done += 1,
            Err(error) => break error,
        }
        assert!(done < 1000, "the disk is not full");
    };
    assert!(matches!(&refused, BackendError::ReadOnly(why) if why.contains("the disk is full")), "{refused}");
    assert!(backend.failure().unwrap().contains("go on by themselves"));
    let relaxed = backend.commit(put("r", 10, Durability::Relaxed)).await;
    assert!(matches!(relaxed, Err(BackendError::ReadOnly(_))), "{relaxed:?}");
    assert_eq!(records(&backend).await.len(), done);
    disk.capacity(None);
    // The fold tries again after a while of its own.
    let mut tries = 0;
    while backend.commit(put("after", 3000, Durability::Durable)).await.is_err() {
        tries += 1;
        assert!(tries < 1000, "{:?}", backend.failure());
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(backend.failure(), None);
    let crashed = disk.crashed(&Rng::seeded(4));
    drop(backend);
    assert_eq!(records(&open(&crashed).unwrap()).await.len(), done + 1);
}

/// A write that finds no room inside a segment that was allocated has left the log's end in doubt.
#[tokio::test]
async fn no_room_within_a_segment_needs_a_restart() {
    let disk = FakeDisk::new();
    let backend = open(&disk).unwrap();
    let kind = ErrorKind::StorageFull;
    disk.fault(Some(DiskFault { after: 0, of: Some(DiskOp::Write), kind, lasting: false }));
    let refused = backend.commit(put("a", 10, Durability::Durable)).await.unwrap_err();
    assert!(refused.to_string().contains("then restart orc"), "{refused}");
    assert!(backend.commit(put("b", 10, Durability::Durable)).await.is_err());
    backend.close();
    assert!(records(&open(&disk).unwrap()).await.is_empty());
}

#[tokio::test]
async fn a_folder_of_format_1_is_upgraded() {
    let disk = FakeDisk::new();
    let file = disk.open("store.redb", OpenMode::Create).unwrap();
    let database = Database::builder().create_with_backend(Medium::new(file)).unwrap();
    let (key, value, revision) = (b"/things/n/old", b"value", Revision(7));
    let sum = crc(key, revision, value);
    let mut record = Vec::new();
    encode(revision, sum, value, &mut record);
    let write = database.begin_write().unwrap();
    write.open_table(OBJECTS).unwrap().insert(key.as_slice(), record.as_slice()).unwrap();
    for (name, value) in [("format", 1), ("reserved", 4096), ("count", 1), ("sum", u64::from(sum))] {
        write.open_table(META).unwrap().insert(name, value).unwrap();
    }
    write.commit().unwrap();
    drop(database);
    disk.put("format", b"1\n");
    let backend = open(&disk).unwrap();
    assert_eq!(records(&backend).await[0].value, value.as_slice());
    assert_eq!(backend.commit(put("new", 1, Durability::Durable)).await.unwrap(), Revision(4097));
    drop(backend);
    assert_eq!(disk.content("format").unwrap(), b"2\n");
    assert_eq!(records(&open(&disk).unwrap()).await.len(), 2);
}
