//! What an event looks like to one kind of client, made once.
//!
//! Ten thousand watches of one resource show a change in the same bytes: the first one makes them, the others share them, in
//! the cache and in what waits to be sent to a slow reader.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use orc_core::{ApiError, ObjectKey, Revision};
use parking_lot::Mutex;

/// Events kept: those of a second or two of a busy cluster; a watch that is further behind makes its own.
const KEPT: usize = 2048;
/// Bytes kept.
const BYTES: usize = 16 << 20;

/// What an event's bytes depend on. A revision is one change, except where a backend expires several objects at once.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Rendition {
    pub(super) revision: Revision,
    /// `ADDED`, `MODIFIED` or `DELETED`, as the watch's selector sees it.
    pub(super) event: &'static str,
    /// The group and version that is shown.
    pub(super) version: String,
    /// Only the metadata.
    pub(super) metadata: bool,
    pub(super) protobuf: bool,
    pub(super) object: ObjectKey,
}

type Slot = Arc<OnceLock<Bytes>>;

/// The latest renditions.
#[derive(Default)]
pub(super) struct Renditions(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    slots: BTreeMap<Rendition, Slot>,
    order: VecDeque<Rendition>,
    bytes: usize,
}

impl Renditions {
    /// The bytes of a rendition, made when nobody has made them yet. One that is being made by another watch is waited for.
    ///
    /// # Errors
    /// Those of `make`; a failure is not kept.
    pub(super) fn get(&self, of: Rendition, make: impl FnOnce() -> Result<Bytes, ApiError>) -> Result<Bytes, ApiError> {
        let slot = self.slot(&of);
        if let Some(made) = slot.get() {
            return Ok(made.clone());
        }
        let made = make()?;
        // Another watch may have been as fast: then its bytes, which are equal, are the ones that are shared.
        let mut ours = false;
        let shared = slot.get_or_init(|| {
            ours = true;
            made
        });
        if ours {
            self.0.lock().count(shared.len());
        }
        Ok(shared.clone())
    }

    fn slot(&self, of: &Rendition) -> Slot {
        let mut kept = self.0.lock();
        if let Some(slot) = kept.slots.get(of) {
            return slot.clone();
        }
        let slot = Slot::default();
        kept.slots.insert(of.clone(), slot.clone());
        kept.order.push_back(of.clone());
        kept.trim();
        slot
    }
}

impl Kept {
    fn count(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.trim();
    }

    fn trim(&mut self) {
        while self.order.len() > KEPT || self.bytes > BYTES && self.order.len() > 1 {
            let Some(oldest) = self.order.pop_front() else { return };
            let slot = self.slots.remove(&oldest);
            let bytes = slot.as_ref().and_then(|slot| slot.get()).map_or(0, Bytes::len);
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use orc_core::ResourceId;

    use super::*;

    fn of(revision: u64) -> Rendition {
        Rendition {
            revision: Revision(revision),
            event: "ADDED",
            version: "v1".to_owned(),
            metadata: false,
            protobuf: false,
            object: ObjectKey::namespaced(ResourceId::new("", "pods"), "d", "x"),
        }
    }

    #[test]
    fn bytes_are_made_once_and_shared() {
        let (renditions, mut made) = (Renditions::default(), 0);
        let mut get = |rendition| {
            let make = || {
                made += 1;
                Ok(Bytes::from(vec![b'x'; 100]))
            };
            renditions.get(rendition, make).unwrap()
        };
        let (one, two) = (get(of(1)), get(of(1)));
        assert_eq!(one.as_ptr(), two.as_ptr());
        get(Rendition { protobuf: true, ..of(1) });
        get(of(2));
        assert_eq!(made, 3);
    }

    #[test]
    fn a_failure_is_not_kept_and_the_cache_is_bounded() {
        let renditions = Renditions::default();
        assert!(renditions.get(of(1), || Err(ApiError::internal("no"))).is_err());
        assert_eq!(renditions.get(of(1), || Ok(Bytes::from_static(b"yes"))).unwrap(), "yes");
        for revision in 2..10_000 {
            renditions.get(of(revision), || Ok(Bytes::from(vec![0; 20_000]))).unwrap();
        }
        let kept = renditions.0.lock();
        assert!(kept.bytes <= BYTES && kept.order.len() == kept.slots.len() && kept.order.len() <= KEPT);
    }
}
