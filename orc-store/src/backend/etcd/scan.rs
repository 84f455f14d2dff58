//! Scans: range reads at one revision.

use bytes::BytesMut;
use etcd_client::GetOptions;
use etcd_client::proto::{PbKeyValue, PbRangeResponse};
use orc_core::Revision;

use super::super::{BackendError, KeyRange, Page, RawPage, RawRecord};
use super::errors::{Asked, CallError};
use super::link::{Link, raise, revision};

/// Keys read by one request. etcd builds an answer in memory while writers wait: kept small for large objects.
const KEYS: usize = 1000;
/// A page ends when it has so many bytes, however many records are asked for.
const BYTES: usize = 64 << 20;

/// Reads a page of a range, all of it at one revision.
pub(super) async fn scan(
    link: &Link,
    range: KeyRange,
    at: Option<Revision>,
    page: Page,
) -> Result<RawPage, BackendError> {
    let Some((mut start, end)) = link.layout.range(&range) else {
        let at = match at {
            Some(at) => at,
            None => link.revision().await.map_err(|error| error.backend(Asked::Read))?,
        };
        return Ok(RawPage { at, ..RawPage::default() });
    };
    let mut found = RawPage { at: at.unwrap_or_default(), ..RawPage::default() };
    let (mut pinned, mut bytes) = (at, 0);
    loop {
        let limit = (page.limit.max(1) - found.records.len()).min(KEYS);
        let answer = match read(link, &start, &end, pinned, limit).await {
            Ok(answer) => answer,
            Err(error) => return Err(refused(link, pinned, &error).await),
        };
        let at = *pinned.get_or_insert_with(|| header_revision(&answer));
        found.at = at;
        bytes += answer.kvs.iter().map(|kv| kv.value.len()).sum::<usize>();
        let more = answer.more;
        found.records.extend(answer.kvs.into_iter().filter_map(|kv| record(link, kv)));
        let Some(next) = found.records.last().filter(|_| more).map(|last| behind(&last.key)) else { break };
        if found.records.len() >= page.limit || bytes >= BYTES {
            found.next = Some(next);
            break;
        }
        start = link.layout.object(&next);
    }
    // The consumer follows from here, and may have to be shown that it is there.
    raise(&link.wanted, found.at);
    Ok(found)
}

async fn read(
    link: &Link,
    start: &[u8],
    end: &[u8],
    at: Option<Revision>,
    limit: usize,
) -> Result<PbRangeResponse, CallError> {
    let options = GetOptions::new()
        .with_range(end)
        .with_limit(i64::try_from(limit).unwrap_or(i64::MAX))
        .with_revision(at.map_or(0, |at| at.0.cast_signed()));
    let answer = link.kv(|mut kv| {
        let (start, options) = (start.to_vec(), options.clone());
        async move { kv.get(start, Some(options)).await }
    });
    Ok(answer.await?.0)
}

fn header_revision(answer: &PbRangeResponse) -> Revision {
    answer.header.as_ref().map_or(Revision::ZERO, |header| revision(header.revision))
}

fn record(link: &Link, kv: PbKeyValue) -> Option<RawRecord> {
    let at = revision(kv.mod_revision);
    link.layout.raw(kv.key).map(|key| RawRecord { key, value: kv.value.into(), revision: at })
}

/// The first key behind another.
fn behind(key: &[u8]) -> super::super::RawKey {
    let mut next = BytesMut::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.extend_from_slice(&[0]);
    next.freeze()
}

async fn refused(link: &Link, at: Option<Revision>, error: &CallError) -> BackendError {
    match at {
        Some(asked) if error.compacted() => match link.find_floor().await {
            Ok(floor) => BackendError::Compacted { asked, floor },
            Err(error) => error.backend(Asked::Read),
        },
        Some(asked) if error.future() => BackendError::Unavailable(format!("etcd: revision {asked} is still to come")),
        _ => error.backend(Asked::Read),
    }
}
