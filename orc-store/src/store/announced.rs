//! Heads of bodies that are being committed, so that a body is read once and not again when it comes back.

use std::collections::HashMap;

use bytes::Bytes;
use orc_core::{Head, ResourceId};
use parking_lot::Mutex;

/// Bodies under way, by where they lie in memory. Each is held here while it is known, so its place is its own.
///
/// As many as there are commits under way. A backend that hands on another copy finds nothing here, and its body is read again.
#[derive(Default)]
pub(super) struct Announced(Mutex<HashMap<usize, Body>>);

struct Body {
    id: ResourceId,
    bytes: Bytes,
    head: Head,
    /// Which selectable fields the head was read with.
    fields: u64,
}

/// Takes the announcement back when the commit is over, however it ended.
pub(crate) struct Announcement<'a> {
    all: &'a Announced,
    place: usize,
}

fn place(bytes: &Bytes) -> usize {
    bytes.as_ptr() as usize
}

impl Announced {
    /// Keeps a head until the body comes back or the announcement is dropped.
    pub(super) fn announce(&self, id: &ResourceId, bytes: &Bytes, head: Head, fields: u64) -> Announcement<'_> {
        let place = place(bytes);
        self.0.lock().insert(place, Body { id: id.clone(), bytes: bytes.clone(), head, fields });
        Announcement { all: self, place }
    }

    /// The head of a resource's body, if it was announced and read with these fields.
    pub(super) fn take(&self, id: &ResourceId, bytes: &Bytes, fields: u64) -> Option<Head> {
        let body = self.0.lock().remove(&place(bytes))?;
        (body.id == *id && body.bytes.len() == bytes.len() && body.fields == fields).then_some(body.head)
    }
}

impl Drop for Announcement<'_> {
    fn drop(&mut self) {
        self.all.0.lock().remove(&self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_found_by_its_own_body_alone() {
        let (announced, pods) = (Announced::default(), ResourceId::new("", "pods"));
        let body = Bytes::from(br#"{"metadata":{"uid":"u"}}"#.to_vec());
        let head = Head::parse(&body, &[] as &[&str]).unwrap();
        let held = announced.announce(&pods, &body, head.clone(), 1);
        assert_eq!(announced.take(&pods, &Bytes::copy_from_slice(&body), 1), None);
        assert_eq!(announced.take(&pods, &body.clone(), 1), Some(head.clone()));
        assert_eq!(announced.take(&pods, &body, 1), None, "it was taken");
        drop(held);
        for (id, fields) in [(&pods, 2), (&ResourceId::new("", "secrets"), 1)] {
            let _held = announced.announce(&pods, &body, head.clone(), 1);
            assert_eq!(announced.take(id, &body, fields), None, "its fields are others");
        }
        drop(announced.announce(&pods, &body, head, 1));
        assert_eq!(announced.take(&pods, &body, 1), None);
    }
}
