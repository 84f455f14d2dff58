//! `kill -9` under write load: every acknowledged change is there afterwards, and no revision is used twice.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use orc_core::Revision;
use orc_store::backend::{
    Backend, BackendError, Durability, DurableBackend, DurableConfig, Expect, KeyRange, Page, RawChange, RawRecord,
};

const CHILD: &str = "ORC_STORE_KILL9_FOLDER";
const ROUNDS: usize = 4;
const WRITERS: usize = 8;

/// Everything small, so that the kill also meets folds and turn-overs of the log.
fn config(folder: impl Into<PathBuf>) -> DurableConfig {
    let (segment_bytes, fold_bytes, log_bytes) = (64 << 10, 4 << 10, 16 << 10);
    DurableConfig { segment_bytes, fold_bytes, log_bytes, ..DurableConfig::new(folder) }
}

/// The victim: writes from several tasks and tells each acknowledgement. Does nothing unless the parent started it.
#[test]
fn victim() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let backend = Arc::new(DurableBackend::open(config(folder)).unwrap());
        let writers = (0..WRITERS).map(|writer| write_for_ever(backend.clone(), writer));
        futures::future::join_all(writers).await;
    });
}

async fn write_for_ever(backend: Arc<DurableBackend>, writer: usize) {
    let mut present: BTreeMap<u64, Revision> = BTreeMap::new();
    for n in 0u64.. {
        let slot = n % 5;
        let key = format!("/things/w{writer}/{slot}-{}", std::process::id());
        let value = format!("{key}={n}");
        let durability = if n % 7 == 6 { Durability::Relaxed } else { Durability::Durable };
        let expect = present.get(&slot).map_or(Expect::Absent, |at| Expect::At(*at));
        let change =
            RawChange { key: key.clone().into(), value: Some(value.clone().into()), expect, durability, ttl: None };
        let revision = match backend.commit(change).await {
            Ok(revision) => revision,
            Err(BackendError::Unavailable(_)) => return,
            Err(error) => panic!("{error}"),
        };
        present.insert(slot, revision);
        let line = format!("ack {durability:?} {revision} {key} {n}\n");
        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    }
}

/// Starts a victim, reads its acknowledgements and kills it after so many.
fn run_and_kill(folder: &Path, after: usize) -> Vec<(bool, Revision, String, u64)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--nocapture", "--test-threads=1"])
        .env(CHILD, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        // The last line may be cut by the kill.
        let ["ack", durability, revision, key, n] = words[..] else { continue };
        let Ok(n) = n.parse() else { continue };
        acknowledged.push((durability == "Durable", Revision::parse(revision).unwrap(), key.to_owned(), n));
        if acknowledged.len() == after {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    acknowledged
}

#[test]
fn every_acknowledged_change_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut newest: BTreeMap<String, u64> = BTreeMap::new();
    let mut last = Revision::ZERO;
    for round in 0..ROUNDS {
        let acknowledged = run_and_kill(folder.path(), 150 + 97 * round);
        assert!(acknowledged.len() >= 150, "the victim ended early");
        let first = acknowledged.iter().map(|(_, revision, ..)| *revision).min().unwrap();
        assert!(first > last, "round {round}: revision {first} was used before ({last})");
        for (durable, revision, key, n) in acknowledged {
            last = last.max(revision);
            if durable {
                newest.insert(key, n);
            }
        }
        let records = records(folder.path());
        for (key, n) in &newest {
            let record = records.get(key.as_str()).unwrap_or_else(|| panic!("round {round}: {key} is gone"));
            let found: u64 = std::str::from_utf8(&record.value).unwrap().split_once('=').unwrap().1.parse().unwrap();
            assert!(found >= *n, "round {round}: {key} is at {found}, {n} was acknowledged");
        }
    }
}

fn records(folder: &Path) -> BTreeMap<String, RawRecord> {
    let backend = DurableBackend::open(config(folder)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let page = runtime.block_on(backend.scan(KeyRange::all(), None, Page { limit: usize::MAX })).unwrap();
    page.records.into_iter().map(|record| (name(&record.key), record)).collect()
}

fn name(key: &Bytes) -> String {
    String::from_utf8_lossy(key).into_owned()
}
