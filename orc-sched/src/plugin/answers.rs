//! What plugins answer with, and what they are told.

use crate::facts::FactKind;
use crate::set::NodeSet;

#[cfg(doc)]
use super::{MAX_SCORE, Plugin};

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
    /// A node is gone, and what its pods meant for others with it.
    NodeGone,
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
