//! Where in an object an error lies: `spec.containers[0].name`, `spec.nodeSelector[app]`.
//!
//! Paths are made for every field that is checked and printed almost never, so a step borrows its parent and
//! nothing is allocated before [`std::fmt::Display`] is asked for.

use std::fmt;

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Name(&'a str),
    Index(usize),
    Key(&'a str),
}

/// A path of fields, indexes and map keys; each step borrows the one before it.
#[derive(Clone, Copy, Debug)]
pub struct FieldPath<'a> {
    parent: Option<&'a FieldPath<'a>>,
    step: Step<'a>,
}

impl<'a> FieldPath<'a> {
    /// A path of one field; the name may hold dots (`"metadata.name"`).
    pub const fn new(name: &'a str) -> Self {
        FieldPath { parent: None, step: Step::Name(name) }
    }

    /// The path that Kubernetes prints as `<nil>`: errors about no field in particular.
    pub const fn nil() -> FieldPath<'static> {
        FieldPath { parent: None, step: Step::Name("<nil>") }
    }

    /// A field of the object at this path. An empty parent name is left out of the text.
    pub const fn child(&'a self, name: &'a str) -> FieldPath<'a> {
        FieldPath { parent: Some(self), step: Step::Name(name) }
    }

    /// An item of the list at this path.
    pub const fn index(&'a self, index: usize) -> FieldPath<'a> {
        FieldPath { parent: Some(self), step: Step::Index(index) }
    }

    /// An entry of the map at this path.
    pub const fn key(&'a self, key: &'a str) -> FieldPath<'a> {
        FieldPath { parent: Some(self), step: Step::Key(key) }
    }
}

impl fmt::Display for FieldPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut dot = false;
        if let Some(parent) = self.parent {
            fmt::Display::fmt(parent, f)?;
            dot = !matches!(parent, FieldPath { parent: None, step: Step::Name("") });
        }
        match self.step {
            Step::Name(name) if dot => write!(f, ".{name}"),
            Step::Name(name) => f.write_str(name),
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) => write!(f, "[{key}]"),
        }
    }
}

impl From<&FieldPath<'_>> for String {
    fn from(path: &FieldPath<'_>) -> String {
        path.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_fields_indexes_and_keys() {
        let spec = FieldPath::new("spec");
        let containers = spec.child("containers");
        assert_eq!(containers.index(0).child("name").to_string(), "spec.containers[0].name");
        assert_eq!(spec.child("nodeSelector").key("app").to_string(), "spec.nodeSelector[app]");
        assert_eq!(FieldPath::new("").child("spec").to_string(), "spec");
        assert_eq!(FieldPath::nil().to_string(), "<nil>");
    }
}
