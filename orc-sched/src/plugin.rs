//! What a policy implements.

use std::any::Any;

use crate::pod::PodInfo;
use crate::reasons::Reasons;
use crate::set::NodeSet;
use crate::view::{Change, View};

/// What a plugin computes once for all pods alike and keeps up to date by [`Plugin::touched`].
pub type Prepared = Box<dyn Any + Send>;

/// The highest score of a node, before weights.
pub const MAX_SCORE: i64 = 100;

/// One aspect of where pods go. Batch: a call is about many nodes. Object-safe, synchronous and pure.
///
/// The engine calls `prepare` once for a pod, `filter` and `score` for the nodes in question, and later `touched` for each
/// change of the view followed by `filter` and `score` for the nodes that it named. All pods whose [`Fragment`]s are equal
/// share the result.
///
/// An implementation must answer for a node from `Prepared`, the view and the slot alone, and must name in `touched` at least
/// every node whose answer may have changed. It may leave everything but `name` and `prepare` at the defaults, which refuse
/// nothing, score nothing, share nothing and evaluate anew after each change.
pub trait Plugin: Send + Sync + 'static {
    /// The name, as in Kubernetes' scheduler configuration.
    fn name(&self) -> &'static str;

    /// Writes everything of the pod that the plugin reads. The default says that no two pods are alike.
    fn fragment(&self, pod: &PodInfo, out: &mut Fragment) {
        let _ = pod;
        out.unlike_any();
    }

    /// Reads a pod, and the view where an answer depends on more than a node.
    fn prepare(&self, view: &View, pod: &PodInfo) -> Prepared;

    /// Takes nodes that will not do out of `nodes` and notes why.
    fn filter(&self, prepared: &Prepared, view: &View, nodes: &mut NodeSet, why: &mut Reasons) {
        let _ = (prepared, view, nodes, why);
    }

    /// How raw scores become scores; `None` when the plugin has no opinion on this pod.
    fn normal(&self, prepared: &Prepared) -> Option<Normal> {
        let _ = prepared;
        None
    }

    /// Writes the raw score of each of `nodes` at its slot; other places of `out` must not be touched.
    fn score(&self, prepared: &Prepared, view: &View, nodes: &NodeSet, out: &mut [i64]) {
        let _ = (prepared, view, nodes, out);
    }

    /// Follows a change, and names the nodes whose answer it may have changed. A node that came, went or is described
    /// differently is always evaluated again.
    fn touched(&self, prepared: &mut Prepared, change: &Change) -> Touched {
        let _ = (prepared, change);
        Touched::All
    }

    /// Whether a change of this sort may make a pod fit that the plugin refused.
    fn helped_by(&self, hint: Hint) -> bool {
        let _ = hint;
        true
    }
}

/// How raw scores become scores from 0 to [`MAX_SCORE`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Normal {
    /// They are scores already.
    None,
    /// In proportion to the highest among the feasible nodes.
    Max {
        /// Whether the lowest raw score is best.
        reverse: bool,
    },
    /// In proportion between the lowest and the highest.
    MinMax,
    /// The plugin scores all feasible nodes together, and again whenever one of them changes; the results are scores.
    Whole,
}

/// The nodes whose answer may have changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Touched {
    /// None.
    None,
    /// The node where the change happened.
    Node,
    /// Some nodes.
    Nodes(NodeSet),
    /// The nodes that have a label with a value.
    Domain {
        /// The label.
        key: String,
        /// The value.
        value: String,
    },
    /// Every node; the plugin also prepares again.
    All,
}

/// A sort of change, told to plugins to find out which waiting pods to try again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Hint {
    /// A node came.
    NodeAdded,
    /// A node's labels changed.
    NodeLabels,
    /// A node's taints changed.
    NodeTaints,
    /// A node may be scheduled to again.
    NodeSchedulable,
    /// A node has other amounts of resources.
    NodeAllocatable,
    /// A pod left a node, or takes less of it.
    PodLeft,
    /// A pod came to a node, or its labels changed.
    PodCame,
}

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

    /// The signature; `None` when the pod is unlike any other.
    pub(crate) fn finish(self) -> Option<Vec<u8>> {
        (!self.alone).then_some(self.bytes)
    }
}

/// Reads what a plugin's own `prepare` made.
///
/// # Panics
/// When it is of another type: the engine mixed up plugins.
pub fn state<T: 'static>(prepared: &Prepared) -> &T {
    prepared.downcast_ref().expect("a plugin gets back what it prepared")
}

#[cfg(test)]
mod tests {
    #[test]
    fn plugins_are_object_safe() {
        fn takes(_: Option<&dyn super::Plugin>) {}
        takes(None);
    }
}
