//! The values of variables for one evaluation.

use super::convert;
use super::value::{Outcome, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The variables of one evaluation. A variable may hold an error, which only an expression that reads it meets.
#[derive(Clone, Debug, Default)]
pub struct Activation {
    variables: BTreeMap<Arc<str>, Outcome>,
}

impl Activation {
    /// Without variables.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a variable; dotted names as in [`super::Environment`].
    pub fn set(&mut self, name: &str, outcome: Outcome) {
        self.variables.insert(Arc::from(name), outcome);
    }

    /// With a value.
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.set(name, Ok(value));
        self
    }

    /// With an object of no declared type.
    pub fn with_json(self, name: &str, value: &serde_json::Value) -> Self {
        self.with(name, convert::from_json(value))
    }

    pub(super) fn get(&self, name: &str) -> Option<Outcome> {
        self.variables.get(name).cloned()
    }
}
