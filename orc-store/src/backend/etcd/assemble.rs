//! Puts watch responses together to whole revisions. Pure.

use std::collections::VecDeque;

use etcd_client::proto::PbEvent;
use orc_core::Revision;

use super::super::{BackendError, RawEvent, RawRecord};
use super::layout::Layout;
use super::link::revision;

/// etcd's number for a deletion.
const DELETE: i32 = 1;

/// The events of the revision that is not known to be complete, and what was before it.
pub(super) struct Assembler {
    layout: Layout,
    /// Everything up to here has been handed over.
    after: Revision,
    /// The revision of `open`.
    at: Revision,
    open: Vec<RawEvent>,
}

impl Assembler {
    /// For a feed of what follows a revision.
    pub(super) fn new(layout: Layout, after: Revision) -> Self {
        Self { layout, after, at: after, open: Vec::new() }
    }

    /// Up to where everything has been handed over.
    pub(super) fn after(&self) -> Revision {
        self.after
    }

    /// Takes the events of a response. When it is a fragment, the next one may go on in its last revision, which is held back.
    ///
    /// # Errors
    /// `Compacted` when a revision changed several objects otherwise than by their expiry: no store does that, so somebody
    /// else writes here, and only reading everything again shows the state. `Unavailable` when the order is broken.
    pub(super) fn take(
        &mut self,
        events: Vec<PbEvent>,
        fragment: bool,
        ready: &mut VecDeque<RawEvent>,
    ) -> Result<(), BackendError> {
        for event in events {
            let deletes = event.r#type == DELETE;
            let Some(kv) = event.kv else { continue };
            let at = revision(kv.mod_revision);
            // Feeds start at the revision that the consumer has already, so that etcd refuses when it is compacted.
            if at <= self.after {
                continue;
            }
            if at < self.at {
                return Err(BackendError::Unavailable(format!("etcd told revision {at} after {}", self.at)));
            }
            if at > self.at {
                self.close(ready)?;
                self.at = at;
            }
            self.open.extend(self.layout.raw(kv.key).map(|key| match deletes {
                true => RawEvent::Delete { key, revision: at },
                false => RawEvent::Put(RawRecord { key, value: kv.value.into(), revision: at }),
            }));
        }
        if fragment { Ok(()) } else { self.close(ready) }
    }

    /// Hands the open revision over: nothing of it is to come.
    fn close(&mut self, ready: &mut VecDeque<RawEvent>) -> Result<(), BackendError> {
        if self.at <= self.after {
            return Ok(());
        }
        if self.open.len() > 1 && self.open.iter().any(|event| matches!(event, RawEvent::Put(_))) {
            tracing::warn!(at = %self.at, "somebody else wrote several objects in one transaction; everything is read again");
            return Err(BackendError::Compacted { asked: self.after, floor: self.at });
        }
        self.after = self.at;
        if self.open.is_empty() {
            ready.push_back(RawEvent::Progress(self.at));
        } else {
            ready.extend(self.open.drain(..));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use etcd_client::proto::PbKeyValue;

    use super::*;

    fn event(key: &str, at: i64, deletes: bool) -> PbEvent {
        let kv = PbKeyValue { key: key.into(), value: b"v".to_vec(), mod_revision: at, ..PbKeyValue::default() };
        PbEvent { r#type: i32::from(deletes), kv: Some(kv), prev_kv: None }
    }

    fn take(to: &mut Assembler, events: Vec<PbEvent>, fragment: bool) -> Vec<(u64, bool)> {
        let mut ready = VecDeque::new();
        to.take(events, fragment, &mut ready).unwrap();
        let seen = ready.iter().map(|event| match event {
            RawEvent::Put(record) => (record.revision.0, true),
            RawEvent::Delete { revision, .. } => (revision.0, true),
            RawEvent::Progress(at) => (at.0, false),
        });
        seen.collect()
    }

    #[test]
    fn a_revision_in_fragments_comes_out_whole() {
        let mut assembler = Assembler::new(Layout::new("/o"), Revision(4));
        let first =
            vec![event("/o/objects/a", 4, false), event("/o/objects/a", 5, false), event("/o/objects/b", 6, true)];
        assert_eq!(take(&mut assembler, first, true), [(5, true)], "4 is known, 6 may go on");
        let more = vec![event("/o/objects/c", 6, true)];
        assert_eq!(take(&mut assembler, more, false), [(6, true), (6, true)]);
        assert_eq!(assembler.after(), Revision(6));
    }

    #[test]
    fn own_keys_are_progress() {
        let mut assembler = Assembler::new(Layout::new("/o"), Revision(1));
        assert_eq!(take(&mut assembler, vec![event("/o/barrier", 7, false)], false), [(7, false)]);
        assert_eq!(take(&mut assembler, vec![event("/o/barrier", 7, false)], false), []);
    }

    #[test]
    fn foreign_transactions_are_not_taken_for_ours() {
        let mut assembler = Assembler::new(Layout::new("/o"), Revision(1));
        let both = vec![event("/o/objects/a", 2, false), event("/o/objects/b", 2, false)];
        let error = assembler.take(both, false, &mut VecDeque::new()).unwrap_err();
        assert!(matches!(error, BackendError::Compacted { asked: Revision(1), floor: Revision(2) }));
        let mut assembler = Assembler::new(Layout::new("/o"), Revision(1));
        let wrong = vec![event("/o/objects/a", 5, false), event("/o/objects/b", 4, false)];
        assert!(assembler.take(wrong, true, &mut VecDeque::new()).is_err());
    }
}
