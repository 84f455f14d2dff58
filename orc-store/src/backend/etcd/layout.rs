//! The keys: where objects and the store's own records are below the prefix. Pure.

use bytes::Bytes;

use super::super::{KeyRange, RawKey};

/// The version of the layout, the value of the key `format`.
pub(super) const FORMAT: u32 = 1;

/// Names every key below one prefix.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    prefix: String,
    objects: String,
}

impl Layout {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), objects: format!("{prefix}/objects") }
    }

    /// The version of the layout; written once, into an empty prefix.
    pub(super) fn format(&self) -> String {
        format!("{}/format", self.prefix)
    }

    /// The revision that was compacted to last. Its own version number decides which server compacts next.
    pub(super) fn compaction(&self) -> String {
        format!("{}/compaction", self.prefix)
    }

    /// Written only to be seen by feeds.
    pub(super) fn barrier(&self) -> String {
        format!("{}/barrier", self.prefix)
    }

    /// Everything below the prefix, as a start and an end: what feeds watch.
    pub(super) fn everything(&self) -> (Vec<u8>, Vec<u8>) {
        // `0` is the character behind `/`.
        (format!("{}/", self.prefix).into_bytes(), format!("{}0", self.prefix).into_bytes())
    }

    /// An object's key in etcd.
    pub(super) fn object(&self, raw: &[u8]) -> Vec<u8> {
        [self.objects.as_bytes(), raw].concat()
    }

    /// The raw key of a key in etcd; `None` when it is one of the store's own.
    pub(super) fn raw(&self, key: Vec<u8>) -> Option<RawKey> {
        key.starts_with(self.objects.as_bytes()).then(|| Bytes::from(key).slice(self.objects.len()..))
    }

    /// A range of objects as a start and an end in etcd; `None` when it is empty, which etcd would read otherwise.
    pub(super) fn range(&self, range: &KeyRange) -> Option<(Vec<u8>, Vec<u8>)> {
        let start = self.object(&range.start);
        let end = match &range.end {
            Some(end) => self.object(end),
            // `t` is the character behind `s`.
            None => format!("{}/objectt", self.prefix).into_bytes(),
        };
        (start < end).then_some((start, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_and_own_keys_are_no_objects() {
        let layout = Layout::new("/orc");
        let raw = Bytes::from_static(b"/pods/d/a");
        assert_eq!(layout.object(&raw), b"/orc/objects/pods/d/a");
        assert_eq!(layout.raw(layout.object(&raw)), Some(raw));
        let (start, end) = layout.everything();
        for own in [layout.format(), layout.compaction(), layout.barrier()] {
            assert_eq!(layout.raw(own.clone().into_bytes()), None);
            assert!(*own.as_bytes() > start[..] && *own.as_bytes() < end[..]);
        }
    }

    #[test]
    fn ranges_hold_objects_only() {
        let layout = Layout::new("/orc");
        let (start, end) = layout.range(&KeyRange::all()).unwrap();
        assert!(layout.object(b"") >= start && layout.object(&[0xff; 4]) < end);
        assert!(layout.format().into_bytes() < start);
        let empty = KeyRange { start: Bytes::from_static(b"b"), end: Some(Bytes::from_static(b"a")) };
        assert_eq!(layout.range(&empty), None);
    }
}
