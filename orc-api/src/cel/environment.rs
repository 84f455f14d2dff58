//! What an expression may name.

use super::types::Type;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The variables of expressions and their types. Functions and macros are the same everywhere: those of Kubernetes.
///
/// A variable may have a dotted name: `variables.replicas` is found before a field `replicas` of `variables`, so that each
/// of a policy's variables has its own type and its own outcome.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<Arc<str>, Type>,
    messages: Vec<String>,
}

impl Environment {
    /// An environment without variables.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares a variable; the last declaration of a name counts.
    pub fn with(mut self, name: &str, kind: Type) -> Self {
        self.variables.insert(Arc::from(name), kind);
        self
    }

    /// Allows object literals of types with this name or below it: `Object` allows `Object{}` and `Object.spec{}`.
    pub fn with_literals(mut self, root: &str) -> Self {
        self.messages.push(root.to_owned());
        self
    }

    pub(super) fn variable(&self, name: &str) -> Option<&Type> {
        self.variables.get(name)
    }

    pub(super) fn has_literal(&self, name: &str) -> bool {
        let below = |root: &String| name == root || name.strip_prefix(root).is_some_and(|rest| rest.starts_with('.'));
        self.messages.iter().any(below)
    }
}
