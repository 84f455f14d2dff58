//! Which objects a selection takes.

use crate::client::Selection;
use crate::stored::Stored;

impl Selection {
    /// Everything.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Whether every object is taken.
    pub fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    /// Whether an object is taken.
    pub fn matches(&self, stored: &Stored) -> bool {
        let field = |path: &str| match path {
            "metadata.name" => Some(stored.key.name.as_str()),
            "metadata.namespace" => Some(stored.key.namespace_str()),
            _ => Some(stored.head.field(path)),
        };
        self.labels.matches(&stored.head.labels) && self.fields.matches(field)
    }
}
