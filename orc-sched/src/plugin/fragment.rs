//! Which pods are alike.

/// What plugins read of a pod, written out: equal texts, equal answers.
#[derive(Clone, Debug, Default)]
pub struct Fragment {
    bytes: Vec<u8>,
    alone: bool,
}

impl Fragment {
    /// A number.
    pub fn number(&mut self, number: i64) {
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    /// A text.
    pub fn text(&mut self, text: &str) {
        self.number(i64::try_from(text.len()).unwrap_or(i64::MAX));
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// Anything, by its `Debug` form; for what is rarely there.
    pub fn debug(&mut self, value: &impl std::fmt::Debug) {
        self.text(&format!("{value:?}"));
    }

    /// The pod's answers are shared with no other pod's.
    pub fn unlike_any(&mut self) {
        self.alone = true;
    }

    /// An empty fragment in a buffer that was used before.
    pub(crate) fn within(mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        Self { bytes, alone: false }
    }

    /// The signature; `None` when the pod is unlike any other.
    pub(crate) fn finish(self) -> Option<Vec<u8>> {
        (!self.alone).then_some(self.bytes)
    }
}
