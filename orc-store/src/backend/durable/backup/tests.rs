//! Backups of running stores restore to what they showed, and nothing that is not a whole backup restores.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use orc_core::Revision;
use orc_core::env::Rng;

use super::*;
use crate::backend::durable::DurableBackend;
use crate::backend::durable::crash::{open, small};
use crate::backend::{Backend, Durability, Expect, KeyRange, MemoryBackend, Page, RawChange, RawRecord};
use crate::testing::FakeDisk;

fn put(name: &str) -> RawChange {
    let (key, value) = (Bytes::from(format!("/things/n/{name}")), Some(Bytes::from(format!("value of {name}"))));
    RawChange { key, value, expect: Expect::Absent, durability: Durability::Durable, ttl: None }
}

async fn records(backend: &dyn Backend) -> (Revision, Vec<RawRecord>) {
    let page = backend.scan(KeyRange::all(), None, Page { limit: usize::MAX }).await.unwrap();
    (page.at, page.records)
}

async fn filled() -> (FakeDisk, DurableBackend) {
    let disk = FakeDisk::new();
    let backend = open(&disk).unwrap();
    for n in 0..40 {
        backend.commit(put(&n.to_string())).await.unwrap();
    }
    (disk, backend)
}

fn restored(backup: &[u8], disk: &FakeDisk, skip_revisions: u64) -> Result<BackupInfo, RestoreError> {
    restore_on(&mut &*backup, Arc::new(disk.clone()), Path::new("/new"), RestoreOptions { skip_revisions })
}

#[tokio::test]
async fn a_backup_restores_to_what_it_showed() {
    let (_disk, backend) = filled().await;
    let (at, before) = records(&backend).await;
    let mut file = Vec::new();
    let info = backend.backup(&mut file).unwrap();
    assert_eq!(info, BackupInfo { format: 1, revision: at, records: 40, bytes: file.len() as u64 });
    assert_eq!(inspect(&mut &*file).unwrap(), info);
    let disk = FakeDisk::new();
    assert_eq!(restored(&file, &disk, 1000).unwrap(), info);
    let new = open(&disk).unwrap();
    assert_eq!(records(&new).await, (Revision(at.0 + 1000), before));
    assert_eq!(new.bounds().await.unwrap().compacted, Revision(at.0 + 1000), "watches of the old life expire");
    assert!(new.commit(put("new")).await.unwrap() > Revision(at.0 + 1000));
    drop(new);
    assert!(matches!(restored(&file, &disk, 0), Err(RestoreError::Used(_))));
}

#[tokio::test]
async fn a_backup_that_is_cut_or_changed_does_not_restore() {
    let (_disk, backend) = filled().await;
    let mut file = Vec::new();
    backend.backup(&mut file).unwrap();
    let rng = Rng::seeded(1);
    for round in 0..200 {
        let mut bad = file.clone();
        let at = usize::try_from(rng.below(file.len() as u64)).unwrap();
        match round % 4 {
            0 => bad.truncate(at),
            1 => bad.push(0),
            _ => bad[at] ^= 1 << rng.below(8),
        }
        let disk = FakeDisk::new();
        let error = restored(&bad, &disk, 0).unwrap_err();
        assert!(matches!(error, RestoreError::Backup(_)), "round {round}: {error}");
        assert!(inspect(&mut &*bad).is_err());
        if disk.content("store.new").is_some() {
            let opened = open(&disk).err().unwrap().to_string();
            assert!(opened.contains("did not end; restore again"), "{opened}");
        }
        restored(&file, &disk, 0).unwrap();
        assert_eq!(records(&open(&disk).unwrap()).await.1.len(), 40);
    }
}

#[tokio::test]
async fn a_restore_that_is_cut_leaves_no_usable_folder() {
    let (_disk, backend) = filled().await;
    let mut file = Vec::new();
    backend.backup(&mut file).unwrap();
    for step in 0.. {
        let disk = FakeDisk::new();
        disk.fail_after(step);
        let done = restored(&file, &disk, 0).is_ok();
        let crashed = disk.crashed(&Rng::seeded(step));
        match open(&crashed) {
            Ok(backend) => {
                let count = records(&backend).await.1.len();
                assert!(count == 40 || (count == 0 && crashed.content("store.new").is_none()), "step {step}: {count}");
                assert!(!done || count == 40, "step {step}");
            }
            Err(error) => {
                assert!(!done, "step {step}: {error}");
                restored(&file, &crashed, 0).unwrap_or_else(|error| panic!("step {step}: {error}"));
            }
        }
        if done {
            assert!(step > 10);
            break;
        }
    }
}

/// Makes a key, and deletes one, before each page of a scan.
struct Changing(Arc<MemoryBackend>);

#[async_trait::async_trait]
impl Backend for Changing {
    async fn commit(&self, change: RawChange) -> Result<Revision, BackendError> {
        self.0.commit(change).await
    }

    async fn scan(
        &self,
        range: KeyRange,
        at: Option<Revision>,
        page: Page,
    ) -> Result<crate::backend::RawPage, BackendError> {
        let last = self.bounds().await?.current;
        // In front of what was read and behind it.
        self.commit(put(&format!("!{last}"))).await?;
        self.commit(put(&format!("~{last}"))).await?;
        let (key, value) = (Bytes::from("/things/n/0"), None);
        let gone =
            RawChange { key, value, expect: Expect::At(Revision(2)), durability: Durability::Durable, ttl: None };
        // Only the first time.
        let _ = self.commit(gone).await;
        self.0.scan(range, at, page).await
    }

    async fn feed(&self, after: Revision) -> Result<crate::backend::RawFeed, BackendError> {
        self.0.feed(after).await
    }

    async fn bounds(&self) -> Result<crate::backend::Bounds, BackendError> {
        self.0.bounds().await
    }
}

#[tokio::test]
async fn any_backend_is_backed_up_while_it_changes() {
    let backend = Arc::new(MemoryBackend::new());
    for n in 0..5000 {
        backend.commit(put(&n.to_string())).await.unwrap();
    }
    let slow = Changing(backend.clone());
    let mut file = Vec::new();
    let info = write(&slow, &mut file).await.unwrap();
    assert!(info.revision > Revision(5001), "it changed meanwhile");
    let disk = FakeDisk::new();
    restored(&file, &disk, 0).unwrap();
    let shown = records(&open(&disk).unwrap()).await.1;
    let now: Vec<_> = records(&*backend).await.1.into_iter().filter(|one| one.revision <= info.revision).collect();
    assert_eq!(shown, now, "each change of `slow` touches a key of its own");
}

#[test]
fn a_real_folder_is_restored() {
    let file = {
        let mut file = Vec::new();
        write_records(&mut file, Revision(9), std::iter::empty()).unwrap();
        file
    };
    let folder = tempfile::tempdir().unwrap();
    restore(&mut &*file, folder.path(), RestoreOptions::default()).unwrap();
    let config = crate::backend::DurableConfig { path: folder.path().to_owned(), ..small() };
    drop(DurableBackend::open(config).unwrap());
    let used = restore(&mut &*file, folder.path(), RestoreOptions::default()).unwrap_err();
    assert!(used.to_string().contains("holds a store already"), "{used}");
}
