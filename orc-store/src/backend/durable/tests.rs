//! The laws over a real folder, and what a damaged or strange folder is answered with.

use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use orc_core::Revision;

use super::{DurableBackend, DurableConfig};
use crate::backend::{Backend, BackendError, Durability, Expect, KeyRange, Page, RawChange};
use crate::testing::check_backend;

fn put(name: &str, durability: Durability) -> RawChange {
    let key = Bytes::from(format!("/things/n/{name}"));
    RawChange {
        key,
        value: Some(Bytes::from(format!("value of {name}"))),
        expect: Expect::Absent,
        durability,
        ttl: None,
    }
}

async fn names(backend: &DurableBackend) -> Vec<Bytes> {
    let page = backend.scan(KeyRange::all(), None, Page { limit: usize::MAX }).await.unwrap();
    page.records.into_iter().map(|record| record.key).collect()
}

#[tokio::test]
async fn it_keeps_the_laws() {
    for seed in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let make =
            || async move { Arc::new(DurableBackend::open(DurableConfig::new(path)).unwrap()) as Arc<dyn Backend> };
        check_backend(make, seed).await;
    }
}

#[tokio::test]
async fn a_clean_stop_keeps_everything_and_the_revision() {
    let folder = tempfile::tempdir().unwrap();
    let config = DurableConfig::new(folder.path());
    let backend = DurableBackend::open(config.clone()).unwrap();
    backend.commit(put("a", Durability::Durable)).await.unwrap();
    let last = backend.commit(put("b", Durability::Relaxed)).await.unwrap();
    drop(backend);
    let backend = DurableBackend::open(config).unwrap();
    assert_eq!(names(&backend).await.len(), 2);
    assert_eq!(backend.bounds().await.unwrap().current, last);
    backend.close();
    assert!(matches!(backend.commit(put("c", Durability::Durable)).await, Err(BackendError::Unavailable(_))));
}

#[tokio::test]
async fn waiting_changes_share_a_sync() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Arc::new(DurableBackend::open(DurableConfig::new(folder.path())).unwrap());
    let all = (0..500).map(|n| {
        let backend = backend.clone();
        async move { backend.commit(put(&n.to_string(), Durability::Durable)).await.unwrap() }
    });
    let mut revisions: Vec<Revision> = futures::future::join_all(all).await;
    revisions.sort();
    revisions.dedup();
    assert_eq!(revisions.len(), 500);
}

#[test]
fn a_folder_in_use_is_refused_with_the_pid() {
    let folder = tempfile::tempdir().unwrap();
    let _first = DurableBackend::open(DurableConfig::new(folder.path())).unwrap();
    let error = DurableBackend::open(DurableConfig::new(folder.path())).err().unwrap().to_string();
    let wanted = format!(
        "the data folder {} is in use by another orc (pid {}); stop it or choose another --data-dir",
        folder.path().display(),
        std::process::id()
    );
    assert_eq!(error, wanted);
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(DurableBackend::open(DurableConfig::new(folder.path())).unwrap());
    fs::write(folder.path().join("format"), "7\n").unwrap();
    let error = DurableBackend::open(DurableConfig::new(folder.path())).err().unwrap();
    assert!(matches!(error, BackendError::Open(_)));
    assert!(error.to_string().contains("newer orc (format 7, this one reads up to 2)"), "{error}");
}

#[test]
fn an_emptied_or_missing_file_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    drop(DurableBackend::open(DurableConfig::new(folder.path())).unwrap());
    fs::write(folder.path().join("store.redb"), "").unwrap();
    let open = || DurableBackend::open(DurableConfig::new(folder.path())).err().unwrap();
    assert!(matches!(open(), BackendError::Corrupt(_)));
    fs::remove_file(folder.path().join("store.redb")).unwrap();
    assert!(open().to_string().contains("from a backup"), "{}", open());
}

/// Damage anywhere is either told, or harmless: never a store that opens with something missing or changed.
#[tokio::test]
async fn damage_is_told_or_harmless() {
    let folder = tempfile::tempdir().unwrap();
    let config = DurableConfig::new(folder.path());
    let backend = DurableBackend::open(config.clone()).unwrap();
    for n in 0..1500 {
        backend.commit(put(&format!("{n:04}"), Durability::Relaxed)).await.unwrap();
    }
    let whole = names(&backend).await;
    drop(backend);
    let file = folder.path().join("store.redb");
    let good = fs::read(&file).unwrap();
    let rng = orc_core::env::Rng::seeded(11);
    let used: Vec<usize> = (0..good.len()).filter(|at| good[*at] != 0).collect();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut told = 0;
    for round in 0..60 {
        let mut bad = good.clone();
        if round % 10 == 0 {
            bad.truncate(usize::try_from(rng.below(good.len() as u64)).unwrap());
        } else {
            let at = used[usize::try_from(rng.below(used.len() as u64)).unwrap()];
            bad[at] ^= 1 << rng.below(8);
        }
        fs::write(&file, &bad).unwrap();
        match DurableBackend::open(config.clone()) {
            Ok(backend) => assert_eq!(names(&backend).await, whole, "round {round}"),
            Err(error) => {
                told += 1;
                assert!(matches!(error, BackendError::Corrupt(_)), "round {round}: {error}");
                assert!(fs::read(&file).unwrap() == bad, "round {round}: the damaged file was changed");
            }
        }
    }
    std::panic::set_hook(hook);
    assert!(told > 20, "only {told} of 60 damages were noticed");
}

/// A small file system in memory; needs root.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mount(size: &str) -> Result<Self, String> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(folder.path());
        match mount.output() {
            Ok(done) if done.status.success() => Ok(Self(folder)),
            Ok(done) => Err(String::from_utf8_lossy(&done.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_real_full_disk_is_told_and_passes_by_itself() {
    let tmpfs = match Tmpfs::mount("16m") {
        Ok(tmpfs) => tmpfs,
        Err(why) => {
            eprintln!("skipped a_real_full_disk_is_told_and_passes_by_itself: no tmpfs can be mounted (root?): {why}");
            return;
        }
    };
    let config = DurableConfig {
        segment_bytes: 1 << 20,
        fold_bytes: 1 << 20,
        log_bytes: 4 << 20,
        ..DurableConfig::new(tmpfs.0.path().join("data"))
    };
    let backend = DurableBackend::open(config.clone()).unwrap();
    let large =
        |n: usize| RawChange { value: Some(vec![b'x'; 50_000].into()), ..put(&n.to_string(), Durability::Durable) };
    let mut done = 0;
    let refused = loop {
        match backend.commit(large(done)).await {
            Ok(_) => done += 1,
            Err(error) => break error,
        }
        assert!(done < 1000, "16 MB hold no 50 MB");
    };
    assert!(refused.to_string().contains("the disk is full"), "{refused}");
    assert_eq!(names(&backend).await.len(), done);
    let remount = std::process::Command::new("mount").args(["-o", "remount,size=64m"]).arg(tmpfs.0.path()).status();
    assert!(remount.unwrap().success());
    let mut tries = 0;
    while backend.commit(large(done)).await.is_err() {
        tries += 1;
        assert!(tries < 1000, "{:?}", backend.failure());
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(backend.failure(), None);
    drop(backend);
    assert_eq!(names(&DurableBackend::open(config).unwrap()).await.len(), done + 1);
}

#[test]
fn opening_tells_how_far_it_is() {
    let folder = tempfile::tempdir().unwrap();
    drop(DurableBackend::open(DurableConfig::new(folder.path())).unwrap());
    let told = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let hook = told.clone();
    let progress: super::ProgressHook = Arc::new(move |progress| hook.lock().push(progress));
    drop(
        DurableBackend::open(DurableConfig { progress: Some(progress), ..DurableConfig::new(folder.path()) }).unwrap(),
    );
    let told = told.lock();
    assert!(told.iter().any(|one| one.stage == super::OpenStage::Base && one.total_bytes > 0), "{told:?}");
    assert!(told.iter().any(|one| one.stage == super::OpenStage::Log), "{told:?}");
}
