//! What a policy implements.

use std::any::Any;
use std::sync::Arc;

use orc_core::Name;

use crate::facts::{Fact, FactKey, FactKind};
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

    /// Writes everything of the pod that the plugin reads, and what of the view makes pods alike or not (such as which
    /// services mean the pod). The default says that no two pods are alike.
    fn fragment(&self, view: &View, pod: &PodInfo, out: &mut Fragment) {
        let _ = (view, pod);
        out.unlike_any();
    }

    /// Topology keys that it asks the view for beside those that pods name.
    fn topology_keys(&self) -> Vec<Name> {
        Vec::new()
    }

    /// Reads a pod, and the view where an answer depends on more than a node.
    fn prepare(&self, view: &View, pod: &PodInfo) -> Prepared;

    /// Whether the plugin has anything to say on the pod. One that has not is not asked again until it prepares anew.
    fn concerned(&self, prepared: &Prepared) -> bool {
        let _ = prepared;
        true
    }

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
    /// differently is always evaluated again. The view may be further on than the change: only the change says how the node
    /// was then.
    fn touched(&self, prepared: &mut Prepared, view: &View, change: &Change) -> Touched {
        let _ = (prepared, view, change);
        Touched::All
    }

    /// For plugins whose answers hold for many nodes at once and change with every pod, such as spreading over zones: whether
    /// nodes are sorted into classes. The engine then asks about classes, once each a decision, instead of about nodes; a
    /// change must be named in [`Plugin::touched`] only where it puts a node into another class. Classes are asked after all
    /// filters by node.
    fn classes(&self, prepared: &Prepared) -> Option<&dyn Classes> {
        let _ = prepared;
        None
    }

    /// What is taken for true beside the pod itself when it is taken for true on a node: facts as they will be, such as a
    /// claim that is given away. The driver writes them before it binds.
    ///
    /// # Errors
    /// Why it cannot be, in Kubernetes' words: something has changed since the decision.
    fn reserve(&self, view: &View, pod: &PodInfo, slot: usize) -> Result<Vec<(FactKey, Arc<Fact>)>, String> {
        let _ = (view, pod, slot);
        Ok(Vec::new())
    }

    /// The pod as it counts on a node, for a plugin that divides something of the node among its pods, such as GPUs: with the
    /// part that the pod gets in its requests. `None` when it counts as it is.
    fn settle(&self, view: &View, pod: &PodInfo, slot: usize) -> Option<PodInfo> {
        let _ = (view, pod, slot);
        None
    }

    /// Whether its answer about a node depends on that node and its pods alone, so that what would have to leave the node for
    /// a pod may be remembered until the node changes.
    fn local(&self) -> bool {
        false
    }

    /// Whether a change of this sort may make a pod fit that the plugin refused.
    fn helped_by(&self, hint: Hint) -> bool {
        let _ = hint;
        true
    }
}

/// Answers by class of nodes; see [`Plugin::classes`].
pub trait Classes {
    /// Writes the class of each of `nodes` at its slot.
    fn classify(&self, prepared: &mut Prepared, view: &View, nodes: &NodeSet, out: &mut [i64]);

    /// Why the nodes of a class will not do.
    fn judge(&self, prepared: &Prepared, class: i64) -> Option<Refusal>;

    /// Writes the raw score of each class, which is given with its number of feasible nodes. Asked only where
    /// [`Plugin::normal`] has an opinion; [`IGNORED`] leaves a class out.
    fn weigh(&self, prepared: &Prepared, classes: &[(i64, usize)], out: &mut [i64]);
}

/// Why the nodes of a class will not do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The message.
    pub text: &'static str,
    /// Whether removing pods could help.
    pub resolvable: bool,
}

/// The raw score of a node that takes no part: its score is zero, and the others are scored as if it were not there.
pub const IGNORED: i64 = i64::MIN;

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
    /// The lower the better: the highest plus the lowest less the score, in proportion to the highest.
    Mirror,
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
    /// The nodes that have a label with a value. It costs least for a topology key that pods name.
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
    /// A pod came that waits with its group.
    GroupGrew,
    /// Something beside nodes and pods came, went or changed.
    Fact(FactKind),
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

/// Reads and writes what a plugin's own `prepare` made.
///
/// # Panics
/// As [`state`].
pub fn state_mut<T: 'static>(prepared: &mut Prepared) -> &mut T {
    prepared.downcast_mut().expect("a plugin gets back what it prepared")
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
