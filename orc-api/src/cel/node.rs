//! The checked form of an expression: names are resolved, macros expanded, types known to fit where they can be known.

use super::value::Value;
use std::sync::Arc;

/// A checked expression.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// A constant.
    Literal(Value),
    /// A variable of the activation or of a comprehension around this place.
    Var(Arc<str>),
    /// A field or entry. With `optional`, an absent one is `optional.none()`.
    Select { operand: Box<Node>, field: Arc<str>, optional: bool },
    /// Whether a field is there.
    Has { operand: Box<Node>, field: Arc<str> },
    /// A list; optional items are left out when they have no value.
    List(Vec<(Node, bool)>),
    /// A map; optional entries are left out when they have no value.
    Map(Vec<(Node, Node, bool)>),
    /// `a && b`
    And(Box<Node>, Box<Node>),
    /// `a || b`
    Or(Box<Node>, Box<Node>),
    /// `a ? b : c`
    Conditional(Box<[Node; 3]>),
    /// A function or operator; a receiver is the first argument.
    Call { function: Arc<str>, args: Vec<Node> },
    /// A comprehension.
    Fold(Box<Fold>),
}

/// A comprehension: `accu` starts as `init`, and becomes `step` for each item while `condition` holds.
#[derive(Clone, Debug)]
pub(super) struct Fold {
    pub(super) range: Node,
    /// The item of a list or key of a map; with `second`, the index or key.
    pub(super) first: Arc<str>,
    /// The item or entry, when two variables are bound.
    pub(super) second: Option<Arc<str>>,
    pub(super) accu: Arc<str>,
    pub(super) init: Node,
    pub(super) condition: Node,
    pub(super) step: Node,
    pub(super) result: Node,
}
