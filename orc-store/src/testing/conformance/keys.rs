//! Odd keys and values, and calls that are dropped half-way.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use orc_core::Revision;
use orc_core::env::Rng;

use super::Conformance;
use super::crud::answered;
use crate::backend::{Backend, BackendError, Durability, Expect, KeyRange, Page, RawEvent, RawKey, RawRecord};
use crate::testing::history::{self, Recorder, change, read_log};
use crate::testing::{Violation, ensure};

const WHOLE: Page = Page { limit: usize::MAX };
const BYTES: &str = "keys and values come back byte for byte, in the order of their bytes";
const EMPTY: &str = "an empty value is a value, not a deletion";
const RANGE: &str = "a range holds the keys from its start up to its end, the end left out";

pub(super) async fn check(kit: &Conformance) -> Result<(), Violation> {
    kit.expect("the end of the odd keys", odd_keys(&(kit.make)().await)).await??;
    kit.expect("the end of the odd values", odd_values(&(kit.make)().await, kit)).await??;
    kit.expect("the end of the dropped calls", dropped_calls((kit.make)().await, kit)).await?
}

/// Keys that upset text, paths, escapes, and ranges that are made of prefixes.
fn keys() -> Vec<RawKey> {
    let parts: [&[u8]; 14] = [
        b"a",
        b"a/",
        b"a/b",
        b"a//b",
        b"a-b",
        b"a.b",
        b"a\0",
        b"a\0b",
        b"a\xff",
        b"a\xff\xff",
        b"%2F",
        b"\n\r\t",
        "\u{fc}\u{1f980}".as_bytes(),
        b"..",
    ];
    let mut keys: Vec<RawKey> = parts.iter().map(|part| [b"/odd/n/", *part].concat().into()).collect();
    keys.push(Bytes::from(format!("/odd/n/{}", "k".repeat(700))));
    keys.sort();
    keys
}

async fn odd_keys(backend: &Arc<dyn Backend>) -> Result<(), Violation> {
    let mut expected = Vec::new();
    // Backwards, so that the order of writing is not the order of keys.
    for key in keys().into_iter().rev() {
        let put = change(key.clone(), Some(key.clone()), Expect::Absent, Durability::Durable);
        let revision = answered(backend.commit(put).await, "a change of an odd key")?;
        expected.insert(0, RawRecord { value: key.clone(), key, revision });
    }
    let found = answered(backend.scan(KeyRange::all(), None, WHOLE).await, "a scan")?.records;
    ensure!(found == expected, BYTES, "{found:?} instead of {expected:?}");
    for from in 0..expected.len() {
        let to = (from + 3).min(expected.len() - 1);
        let range = KeyRange { start: expected[from].key.clone(), end: Some(expected[to].key.clone()) };
        let found = answered(backend.scan(range.clone(), None, WHOLE).await, "a scan of a range")?.records;
        ensure!(found == expected[from..to], RANGE, "{range}: {found:?}");
    }
    for record in &expected {
        let delete = change(record.key.clone(), None, Expect::At(record.revision), Durability::Durable);
        answered(backend.commit(delete).await, "a deletion of an odd key")?;
    }
    let found = answered(backend.scan(KeyRange::all(), None, WHOLE).await, "a scan")?.records;
    ensure!(found.is_empty(), BYTES, "{found:?} is left after everything was deleted");
    Ok(())
}

async fn odd_values(backend: &Arc<dyn Backend>, kit: &Conformance) -> Result<(), Violation> {
    let start = answered(backend.bounds().await, "bounds")?.current;
    let key = Bytes::from_static(b"/odd/n/value");
    let put = |value: Bytes, expect| change(key.clone(), Some(value), expect, Durability::Durable);
    let empty = answered(backend.commit(put(Bytes::new(), Expect::Absent)).await, "an empty value")?;
    let page = answered(backend.scan(KeyRange::all(), None, WHOLE).await, "a scan")?;
    let record = RawRecord { key: key.clone(), value: Bytes::new(), revision: empty };
    ensure!(page.records == [record.clone()], EMPTY, "{:?}", page.records);
    let log = answered(read_log(backend, start, Vec::new()).await, "the feed")?;
    ensure!(log.events() == [RawEvent::Put(record)], EMPTY, "the feed tells {:?}", log.events());
    let again = backend.commit(put(Bytes::from_static(b"x"), Expect::Absent)).await;
    let refused = matches!(again, Err(BackendError::Unmet { now }) if now == Some(empty));
    ensure!(refused, EMPTY, "a creation over an empty value gives {again:?}");
    let big = big(kit);
    let at = answered(backend.commit(put(big.clone(), Expect::At(empty))).await, "a big value")?;
    let page = answered(backend.scan(KeyRange::all(), None, WHOLE).await, "a scan")?;
    let same = page.records.len() == 1 && page.records[0].value == big && page.records[0].revision == at;
    ensure!(same, BYTES, "a value of {} bytes does not come back from a scan", big.len());
    let log = answered(read_log(backend, start, Vec::new()).await, "the feed")?;
    ensure!(log.at(&key, at) == Some((at, &big)), BYTES, "a value of {} bytes does not come back by feed", big.len());
    deletions_of_nothing(backend, at).await
}

fn big(kit: &Conformance) -> Bytes {
    let rng = Rng::seeded(kit.seed);
    (0..kit.big_value).map(|_| (rng.below(256)) as u8).collect()
}

async fn deletions_of_nothing(backend: &Arc<dyn Backend>, some: Revision) -> Result<(), Violation> {
    for expect in [Expect::Absent, Expect::At(some), Expect::At(Revision::ZERO)] {
        let nothing = change(Bytes::from_static(b"/odd/n/nothing"), None, expect, Durability::Durable);
        let told = backend.commit(nothing).await;
        let refused = matches!(told, Err(BackendError::Unmet { now: None }));
        ensure!(refused, "what is absent is not deleted, whatever was expected", "{expect:?}: {told:?}");
    }
    Ok(())
}

/// Calls that are polled some times and dropped happen whole or not at all, and hold nothing: callers that come later are
/// served. What was dropped is checked as a change that nobody was told of.
async fn dropped_calls(backend: Arc<dyn Backend>, kit: &Conformance) -> Result<(), Violation> {
    let start = answered(backend.bounds().await, "bounds")?.current;
    let (recorder, rng) = (Recorder::over(backend.clone()), Rng::seeded(kit.seed));
    // More than any queue of ours holds places.
    for n in 0..kit.operations.max(20) * 5 {
        let key = Bytes::from(format!("/odd/n/{}", rng.below(40)));
        let durability = if rng.below(2) == 0 { Durability::Durable } else { Durability::Relaxed };
        let value = Some(Bytes::from(format!("dropped {n}")));
        let mut call = Box::pin(recorder.commit(0, change(key, value, Expect::Absent, durability)));
        for _ in 0..rng.below(3) {
            if call.as_mut().now_or_never().is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    for n in 0..20 {
        let key = Bytes::from(format!("/kept/n/{n}"));
        let put = change(key, Some(Bytes::from(format!("kept {n}"))), Expect::Absent, Durability::Durable);
        answered(recorder.commit(0, put).await, "a change after many dropped ones")?;
    }
    answered(recorder.scan(0, KeyRange::all(), WHOLE).await, "a scan after many dropped calls")?;
    let log = answered(read_log(&backend, start, Vec::new()).await, "the feed")?;
    history::check(&log, &recorder.history()).map(drop)
}
