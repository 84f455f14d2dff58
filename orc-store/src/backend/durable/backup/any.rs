//! A backup of any backend, by what every backend can do.

use std::collections::BTreeMap;
use std::io::Write;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use orc_core::Revision;

use super::{BackupInfo, write_records};
use crate::backend::{Backend, BackendError, KeyRange, Page, RawEvent, RawKey};

/// Records read at once.
const PAGE: Page = Page { limit: 1000 };

/// Writes a backup of any backend at one revision, while changes go on.
///
/// Pages of a scan are of different revisions when changes go on between them, so the changes since the first page are
/// applied over them until all are of the revision of the last. Holds everything in memory meanwhile.
///
/// # Errors
/// [`BackendError::Compacted`] when the backend forgot changes in the meantime: try again. Others as they say.
pub async fn write(backend: &dyn Backend, out: &mut (dyn Write + Send)) -> Result<BackupInfo, BackendError> {
    let (mut records, mut range) = (BTreeMap::new(), KeyRange::all());
    let (mut first, mut last) = (None, Revision::ZERO);
    loop {
        let page = backend.scan(range.clone(), None, PAGE).await?;
        first.get_or_insert(page.at);
        last = last.max(page.at);
        records.extend(page.records.into_iter().map(|record| (record.key, (record.value, record.revision))));
        let Some(next) = page.next else { break };
        range.start = next;
    }
    let first = first.unwrap_or(last);
    if first < last {
        catch_up(backend, &mut records, first, last).await?;
    }
    write_records(out, last, records.iter().map(|(key, (value, at))| (key, value, *at)))
}

/// Applies the changes up to a revision. One that is older than what a page showed is followed by the one that it showed.
async fn catch_up(
    backend: &dyn Backend,
    records: &mut BTreeMap<RawKey, (Bytes, Revision)>,
    from: Revision,
    to: Revision,
) -> Result<(), BackendError> {
    let mut feed = backend.feed(from).await?;
    let mut at = from;
    loop {
        // Deletions may share the last revision; they are ready together.
        let event = if at < to { feed.next().await } else { feed.next().now_or_never().flatten() };
        if event.is_none() && at >= to {
            return Ok(());
        }
        let event = event.ok_or_else(|| BackendError::Unavailable("the feed ended".to_owned()))??;
        at = crate::backend::ring::revision(&event);
        if at > to {
            return Ok(());
        }
        match event {
            RawEvent::Put(record) => drop(records.insert(record.key, (record.value, record.revision))),
            RawEvent::Delete { key, .. } => drop(records.remove(&key)),
            RawEvent::Progress(_) if at >= to => return Ok(()),
            RawEvent::Progress(_) => {}
        }
    }
}
