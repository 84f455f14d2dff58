//! The engine: events in, decisions out.
//!
//! Synchronous and deterministic: the same events and seeds give the same decisions, in a simulator and in a cluster. The
//! engine never writes anywhere; what it decides becomes true for it when it is assumed, and for everyone when an event says
//! so. Preemption, gangs and nominations ask "what if" between [`Engine::mark`] and [`Engine::undo`].

mod decide;
mod explain;
mod group;
mod groups;
mod plans;
mod preempt;
mod ranks;
mod reserve;
mod sheet;
mod sheets;
mod standing;

use std::sync::Arc;

use orc_core::Name;

pub use self::decide::{Decision, Placement};
pub use self::explain::{Explanation, NodeExplanation, Score, Verdict};
pub use self::group::GroupPreemption;
pub use self::preempt::{Plan, Preemption, PreemptionArgs};
use self::reserve::Reserved;
use self::sheet::Scratch;
use self::sheets::Sheets;
use crate::facts::{Fact, FactKey};
use crate::node::NodeInfo;
use crate::plugin::Hint;
use crate::pod::PodInfo;
use crate::profile::Profile;
use crate::view::{Mark, Nominated, Placed, View};

/// Something that happened in the cluster.
#[derive(Clone, Debug)]
pub enum Event {
    /// A node came or changed.
    Node(Arc<NodeInfo>),
    /// A node is gone.
    NodeGone(Name),
    /// A pod with a node came or changed. A pod that has ended counts as gone.
    Pod(Arc<PodInfo>),
    /// A pod is gone, by its uid.
    PodGone(Name),
    /// Something beside nodes and pods came or changed.
    Fact(FactKey, Arc<Fact>),
    /// It is gone.
    FactGone(FactKey),
}

/// A decision that was taken for true until an event confirms it or it is forgotten.
#[derive(Clone, PartialEq, Debug)]
pub struct Reservation {
    /// The pod's uid.
    pub uid: Name,
    /// The node.
    pub node: Name,
    /// What is taken for true beside the pod, and has to be written before it is bound.
    pub facts: Vec<(FactKey, Arc<Fact>)>,
}

/// The cluster, the profiles, and what plugins said of pods that are alike.
pub struct Engine {
    view: View,
    profiles: Vec<Profile>,
    sheets: Vec<Sheets>,
    scratch: Scratch,
    reserved: Reserved,
}

impl Engine {
    /// An empty cluster.
    pub fn new(profiles: Vec<Profile>) -> Self {
        let sheets = profiles.iter().map(|_| Sheets::default()).collect();
        let mut view = View::new();
        let plugins = profiles.iter().flat_map(|profile| &profile.plugins);
        let keys: Vec<Name> = plugins.flat_map(|(plugin, _)| plugin.topology_keys()).collect();
        view.know_keys(keys.iter());
        Self { view, profiles, sheets, scratch: Scratch::default(), reserved: Reserved::default() }
    }

    /// The cluster as the engine sees it.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The profiles.
    pub fn profiles(&self) -> &[Profile] {
        &self.profiles
    }

    /// The place of the profile with a name.
    pub fn profile(&self, name: &str) -> Option<usize> {
        self.profiles.iter().position(|profile| profile.name == *name)
    }

    /// Takes an event in. Returns what it may have changed for pods that fit nowhere.
    pub fn apply(&mut self, event: &Event) -> Vec<Hint> {
        match event {
            Event::Node(node) => {
                let before = self.view.slot(&node.name).and_then(|slot| self.view.node(slot).cloned());
                if self.view.put_node(node.clone()) { node_hints(before.as_deref(), node) } else { Vec::new() }
            }
            Event::NodeGone(name) => {
                if self.view.take_node(name) {
                    vec![Hint::NodeGone]
                } else {
                    Vec::new()
                }
            }
            Event::Pod(pod) => match &pod.node {
                Some(node) if !pod.ended => self.place(pod, node),
                _ => self.gone(&pod.uid),
            },
            Event::PodGone(uid) => self.gone(uid),
            Event::Fact(key, fact) => self.fact(key, Some(fact.clone())),
            Event::FactGone(key) => self.fact(key, None),
        }
    }

    fn place(&mut self, pod: &Arc<PodInfo>, node: &Name) -> Vec<Hint> {
        // Room that was kept for it elsewhere is free.
        let kept = self.view.nomination(&pod.uid).is_some_and(|nominated| nominated.node != *node);
        self.clear(&pod.uid);
        // What was assumed for another node will not come true.
        match self.view.placed(&pod.uid) {
            Some(assumed) if assumed.node != *node => self.release(&pod.uid),
            _ => self.settle_facts(&pod.uid),
        }
        let before = self.view.put_pod(Placed { pod: pod.clone(), node: node.clone(), assumed: false });
        match before {
            Some(before) if before.node == *node && before.pod.same_footprint(pod) => Vec::new(),
            Some(_) => vec![Hint::PodLeft, Hint::PodCame],
            None if kept => vec![Hint::PodLeft, Hint::PodCame],
            None => vec![Hint::PodCame],
        }
    }

    fn gone(&mut self, uid: &Name) -> Vec<Hint> {
        let kept = self.clear(uid);
        self.release(uid);
        if self.view.take_pod(uid).is_some() || kept { vec![Hint::PodLeft] } else { Vec::new() }
    }

    /// As [`Engine::reserve`], for pods of which no plugin assumes more than that they are on the node.
    pub fn assume(&mut self, pod: &Arc<PodInfo>, node: &Name) -> Reservation {
        self.clear(&pod.uid);
        self.view.put_pod(Placed { pod: pod.clone(), node: node.clone(), assumed: true });
        Reservation { uid: pod.uid.clone(), node: node.clone(), facts: Vec::new() }
    }

    /// Takes an assumption back, unless an event has confirmed it meanwhile. Says whether it did.
    pub fn forget(&mut self, reservation: &Reservation) -> bool {
        let held =
            self.view.placed(&reservation.uid).is_some_and(|placed| placed.assumed && placed.node == reservation.node);
        if held {
            self.release(&reservation.uid);
        }
        held && self.view.take_pod(&reservation.uid).is_some()
    }

    /// Whether the pod counts on a node, assumed or confirmed.
    pub fn is_placed(&self, uid: &str) -> bool {
        self.view.placed(uid).is_some()
    }

    /// What is assumed of a pod that was decided about and is not known to be bound yet, with its node.
    pub fn assumed(&self, uid: &str) -> Option<(&PodInfo, &Name)> {
        let placed = self.view.placed(uid).filter(|placed| placed.assumed)?;
        Some((&placed.pod, &placed.node))
    }

    /// Takes what is assumed of a pod as having come true. Other pods are told nothing, since nothing looks different to them.
    pub fn confirm(&mut self, uid: &str) {
        let assumed = self.view.placed(uid).filter(|placed| placed.assumed);
        if let Some((pod, node)) = assumed.map(|placed| (placed.pod.clone(), placed.node.clone())) {
            self.place(&pod, &node);
        }
    }

    /// Keeps room on a node for a pod that waits for others to leave: pods of lower priority do not get it. A pod that has a
    /// node needs none. Says whether room on another node is no longer kept for it ([`Hint::PodLeft`]).
    pub fn nominate(&mut self, pod: &Arc<PodInfo>, node: &Name) -> bool {
        if self.is_placed(&pod.uid) {
            return false;
        }
        let nominated = Nominated { pod: pod.clone(), node: node.clone() };
        let before = self.view.swap_nominated(pod.uid.clone(), Some(nominated));
        before.is_some_and(|before| before.node != *node)
    }

    /// Ends a nomination. Says whether there was one: its room is free ([`Hint::PodLeft`]).
    pub fn clear(&mut self, uid: &Name) -> bool {
        self.view.swap_nominated(uid.clone(), None).is_some()
    }

    /// Remembers the present state. Everything until [`Engine::undo`] is "what if".
    pub fn mark(&mut self) -> Mark {
        self.reserved.mark();
        self.view.mark()
    }

    /// Goes back to the state of a mark.
    ///
    /// # Panics
    /// When a mark that was taken later is still open.
    pub fn undo(&mut self, mark: Mark) {
        self.view.undo(mark);
        self.reserved.undo();
    }

    /// Closes a mark and keeps what was done since.
    ///
    /// # Panics
    /// As [`Engine::undo`].
    pub fn keep(&mut self, mark: Mark) {
        self.view.keep(mark);
        self.reserved.keep();
    }
}

/// What a new state of a node may change for pods that fit nowhere.
fn node_hints(before: Option<&NodeInfo>, after: &NodeInfo) -> Vec<Hint> {
    let Some(before) = before else { return vec![Hint::NodeAdded] };
    let changes = [
        (before.labels != after.labels, Hint::NodeLabels),
        (before.taints != after.taints, Hint::NodeTaints),
        (before.unschedulable && !after.unschedulable, Hint::NodeSchedulable),
        (before.allocatable != after.allocatable, Hint::NodeAllocatable),
    ];
    changes.into_iter().filter_map(|(changed, hint)| changed.then_some(hint)).collect()
}
