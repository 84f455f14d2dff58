//! What a policy implements.

mod answers;
mod fragment;

use std::any::Any;
use std::sync::Arc;

use orc_core::Name;

pub use self::answers::{Hint, IGNORED, Normal, Refusal, Touched};
pub use self::fragment::Fragment;
use crate::facts::{Fact, FactKey};
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
///
/// One `Plugin` stands at several of Kubernetes' extension points. Pre-filter and filter:
///
/// ```
/// use orc_sched::plugin::state;
/// use orc_sched::{Engine, Event, NodeInfo, NodeSet, Plugin, PodInfo, Prepared, Profile, Reasons, View};
/// use std::sync::Arc;
///
/// /// Keeps pods with the label `floor` on nodes whose names begin with it.
/// struct Floor;
///
/// impl Plugin for Floor {
///     fn name(&self) -> &'static str {
///         "Floor"
///     }
///     fn prepare(&self, _: &View, pod: &PodInfo) -> Prepared {
///         Box::new(pod.labels.get("floor").cloned().unwrap_or_default())
///     }
///     fn filter(&self, prepared: &Prepared, view: &View, nodes: &mut NodeSet, why: &mut Reasons) {
///         let floor = state::<String>(prepared);
///         nodes.retain(|slot| {
///             let fits = view.node(slot).is_some_and(|node| node.name.starts_with(&**floor));
///             (!fits).then(|| why.refuse(slot, self.name(), "node(s) were on another floor", false));
///             fits
///         });
///     }
/// }
/// let mut engine = Engine::new(vec![Profile::empty("x").with(Floor, 0)]);
/// for name in ["f1-a", "f2-a"] {
///     engine.apply(&Event::Node(Arc::new(NodeInfo { name: name.into(), ..NodeInfo::default() })));
/// }
/// let mut pod = PodInfo::of(&Default::default());
/// pod.labels.insert("floor".into(), "f2".into());
/// assert_eq!(engine.decide(0, &pod, 1).outcome.unwrap().node, "f2-a");
/// ```
///
/// Pre-score, score and normalise, for pods that share what is found:
///
/// ```
/// use orc_sched::view::PODS;
/// use orc_sched::{Change, Engine, Event, Fragment, NodeInfo, NodeSet, Normal, Plugin, PodInfo, Prepared, Profile, Touched, View};
/// use std::sync::Arc;
///
/// /// Prefers nodes with few pods.
/// struct Quiet;
///
/// impl Plugin for Quiet {
///     fn name(&self) -> &'static str {
///         "Quiet"
///     }
///     fn fragment(&self, _: &View, _: &PodInfo, _: &mut Fragment) {} // reads nothing of the pod: all are alike
///     fn prepare(&self, _: &View, _: &PodInfo) -> Prepared {
///         Box::new(())
///     }
///     fn normal(&self, _: &Prepared) -> Option<Normal> {
///         Some(Normal::Max { reverse: true })
///     }
///     fn score(&self, _: &Prepared, view: &View, nodes: &NodeSet, out: &mut [i64]) {
///         nodes.iter().for_each(|slot| out[slot] = view.pods_on(slot).count() as i64);
///     }
///     fn touched(&self, _: &mut Prepared, _: &View, _: &Change) -> Touched {
///         Touched::Node
///     }
/// }
/// let mut engine = Engine::new(vec![Profile::empty("x").with(Quiet, 1)]);
/// for name in ["n1", "n2"] {
///     engine.apply(&Event::Node(Arc::new(NodeInfo { name: name.into(), ..NodeInfo::default() })));
/// }
/// let pod = |uid: &str| Arc::new(PodInfo { uid: uid.into(), ..PodInfo::of(&Default::default()) });
/// engine.assume(&pod("a"), &"n1".into());
/// assert_eq!(engine.decide(0, &pod("b"), 1).outcome.unwrap().node, "n2");
/// ```
///
/// Queueing hints:
///
/// ```
/// use orc_sched::plugin::Hint;
/// use orc_sched::{Plugin, PodInfo, Prepared, View};
///
/// /// Refuses nodes by their labels (the filter is left out here).
/// struct ByLabel;
///
/// impl Plugin for ByLabel {
///     fn name(&self) -> &'static str {
///         "ByLabel"
///     }
///     fn prepare(&self, _: &View, _: &PodInfo) -> Prepared {
///         Box::new(())
///     }
///     fn helped_by(&self, hint: Hint) -> bool {
///         matches!(hint, Hint::NodeAdded | Hint::NodeLabels)
///     }
/// }
/// assert!(ByLabel.helped_by(Hint::NodeLabels) && !ByLabel.helped_by(Hint::PodLeft));
/// ```
///
/// Reserve, where the engine has to know of it, is [`Plugin::reserve`]; [`points`](crate::points) has the other points.
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

    /// Whether a pod that came to a node may make this waiting pod fit, where [`Plugin::helped_by`] says that pods that come
    /// may. Asked for each pod that the scheduler places, so it must be cheap.
    fn helped_by_pod(&self, view: &View, waiting: &PodInfo, came: &PodInfo) -> bool {
        let _ = (view, waiting, came);
        true
    }

    /// A reason as it is told of a pod: pods that are alike share their reasons, but not the names of what they own. `None` when
    /// it is told as it is.
    fn worded(&self, pod: &PodInfo, reason: &str) -> Option<String> {
        let _ = (pod, reason);
        None
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
