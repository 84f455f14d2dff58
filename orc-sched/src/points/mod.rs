//! Extension points outside of the engine: before a pod is queued, in which order pods are tried, what is done for one that
//! fits nowhere, and on the way to the API.
//!
//! | point | trait | default |
//! |---|---|---|
//! | pre-enqueue | [`PreEnqueue`] | [`SchedulingGates`] |
//! | queue sort | [`QueueSort`] | [`PrioritySort`] |
//! | pre-filter, filter, pre-score, score, normalise | [`Plugin`](crate::Plugin) | see [`plugins`](crate::plugins) |
//! | post-filter | [`PostFilter`] | [`DefaultPreemption`] |
//! | reserve | [`Reserve`], and [`Plugin::reserve`](crate::Plugin::reserve) for what the engine has to know | none |
//! | permit | [`Permit`] | none |
//! | pre-bind | [`PreBind`] | [`WriteFacts`](crate::driver::WriteFacts) |
//! | bind | [`Binder`] | [`ApiBinder`](crate::driver::ApiBinder) |
//! | post-bind | [`PostBind`] | none |
//! | queueing hints | [`Plugin::helped_by`](crate::Plugin::helped_by) | each plugin's own |
//!
//! The first three are synchronous and pure; the others are asynchronous and run in the background, many at a time.

mod bind;

use std::sync::Arc;

use jiff::Timestamp;

pub use self::bind::{Permit, PostBind, PreBind, Reserve};
use crate::driver::Binder;
use crate::engine::{Engine, GroupPreemption, Preemption, PreemptionArgs};
use crate::pod::PodInfo;

/// Whether a pod may be tried at all. Asked when the pod comes or changes.
///
/// ```
/// use orc_sched::PodInfo;
/// use orc_sched::points::PreEnqueue;
///
/// /// Holds pods back that do not say whom they belong to.
/// struct Owned;
///
/// impl PreEnqueue for Owned {
///     fn name(&self) -> &'static str {
///         "Owned"
///     }
///     fn admit(&self, pod: &PodInfo) -> Result<(), String> {
///         match pod.labels.contains_key("team") {
///             true => Ok(()),
///             false => Err("the pod has no label \"team\"".to_owned()),
///         }
///     }
/// }
/// let pod = PodInfo::of(&Default::default());
/// assert!(Owned.admit(&pod).is_err());
/// ```
pub trait PreEnqueue: Send + Sync + 'static {
    /// The name, as in Kubernetes' scheduler configuration.
    fn name(&self) -> &'static str;

    /// Whether the pod may be tried.
    ///
    /// # Errors
    /// Why it has to wait; the text becomes the message of its condition.
    fn admit(&self, pod: &PodInfo) -> Result<(), String>;
}

/// The order in which pods are tried. All profiles of a scheduler share the first one's.
///
/// ```
/// use jiff::Timestamp;
/// use orc_sched::PodInfo;
/// use orc_sched::points::{QueueSort, SortKey};
///
/// /// Small pods first; among equals the one that waits longest.
/// struct SmallFirst;
///
/// impl QueueSort for SmallFirst {
///     fn name(&self) -> &'static str {
///         "SmallFirst"
///     }
///     fn key(&self, pod: &PodInfo, since: Timestamp) -> SortKey {
///         [pod.requests.cpu, pod.requests.memory, since.as_second()]
///     }
/// }
/// let (small, mut big) = (PodInfo::of(&Default::default()), PodInfo::of(&Default::default()));
/// big.requests.cpu = 4000;
/// let key = |pod: &PodInfo| SmallFirst.key(pod, Timestamp::UNIX_EPOCH);
/// assert!(key(&small) < key(&big));
/// ```
pub trait QueueSort: Send + Sync + 'static {
    /// The name, as in Kubernetes' scheduler configuration.
    fn name(&self) -> &'static str;

    /// The place of a pod that waits since then: the lowest is tried first, equal ones in the order of their coming.
    fn key(&self, pod: &PodInfo, since: Timestamp) -> SortKey;
}

/// A place in the queue.
pub type SortKey = [i64; 3];

/// What is done for a pod that fits nowhere.
///
/// ```
/// use orc_sched::points::PostFilter;
/// use orc_sched::{Engine, PodInfo, Preemption, PreemptionArgs};
///
/// /// Preempts for system pods only.
/// struct SystemOnly;
///
/// impl PostFilter for SystemOnly {
///     fn name(&self) -> &'static str {
///         "SystemOnly"
///     }
///     fn rescue(&self, engine: &mut Engine, profile: usize, pod: &PodInfo, seed: u64) -> Result<Preemption, String> {
///         if pod.key.namespace_str() != "kube-system" {
///             return Err("preemption: only for system pods.".to_owned());
///         }
///         engine.preempt(profile, pod, seed, &PreemptionArgs::default())
///     }
/// }
/// let mut engine = Engine::new(vec![orc_sched::Profile::default()]);
/// assert!(SystemOnly.rescue(&mut engine, 0, &PodInfo::of(&Default::default()), 1).is_err());
/// ```
pub trait PostFilter: Send + Sync + 'static {
    /// The name, as in Kubernetes' scheduler configuration.
    fn name(&self) -> &'static str;

    /// Finds room. Must leave the engine as it was; the driver nominates and evicts.
    ///
    /// # Errors
    /// Why it cannot, as it is added to the pod's message.
    fn rescue(&self, engine: &mut Engine, profile: usize, pod: &PodInfo, seed: u64) -> Result<Preemption, String>;

    /// Finds room for at least `least` pods of a group, or none. Must leave the engine as it was.
    ///
    /// # Errors
    /// Why it cannot; the default does not.
    fn rescue_group(
        &self,
        engine: &mut Engine,
        profile: usize,
        pods: &[Arc<PodInfo>],
        least: usize,
        seed: u64,
    ) -> Result<GroupPreemption, String> {
        let _ = (engine, profile, pods, least, seed);
        Err(format!("preemption: {} makes no room for groups.", self.name()))
    }
}

/// Pods with `spec.schedulingGates` wait until the last is taken away.
#[derive(Clone, Copy, Debug, Default)]
pub struct SchedulingGates;

impl PreEnqueue for SchedulingGates {
    fn name(&self) -> &'static str {
        "SchedulingGates"
    }

    fn admit(&self, pod: &PodInfo) -> Result<(), String> {
        if pod.gates.is_empty() {
            return Ok(());
        }
        Err("Scheduling is blocked due to non-empty scheduling gates".to_owned())
    }
}

/// High priority first, then those that wait longest.
#[derive(Clone, Copy, Debug, Default)]
pub struct PrioritySort;

impl QueueSort for PrioritySort {
    fn name(&self) -> &'static str {
        "PrioritySort"
    }

    fn key(&self, pod: &PodInfo, since: Timestamp) -> SortKey {
        [-i64::from(pod.priority), since.as_second(), since.subsec_nanosecond().into()]
    }
}

/// Takes pods of lower priority away.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultPreemption(pub PreemptionArgs);

impl PostFilter for DefaultPreemption {
    fn name(&self) -> &'static str {
        "DefaultPreemption"
    }

    fn rescue(&self, engine: &mut Engine, profile: usize, pod: &PodInfo, seed: u64) -> Result<Preemption, String> {
        engine.preempt(profile, pod, seed, &self.0)
    }

    fn rescue_group(
        &self,
        engine: &mut Engine,
        profile: usize,
        pods: &[Arc<PodInfo>],
        least: usize,
        seed: u64,
    ) -> Result<GroupPreemption, String> {
        engine.preempt_group(profile, pods, least, seed, &self.0)
    }
}

/// What a profile has at the extension points outside of the engine. Those of one point are asked in their order.
#[derive(Clone, Default)]
pub struct Points {
    /// Before a pod is queued.
    pub pre_enqueue: Vec<Arc<dyn PreEnqueue>>,
    /// The order of the queue; [`PrioritySort`] when there is none.
    pub queue_sort: Option<Arc<dyn QueueSort>>,
    /// For pods that fit nowhere; the first that finds room wins.
    pub post_filter: Vec<Arc<dyn PostFilter>>,
    /// Once a node is decided.
    pub reserve: Vec<Arc<dyn Reserve>>,
    /// Before a pod is bound.
    pub permit: Vec<Arc<dyn Permit>>,
    /// Right before a pod is bound.
    pub pre_bind: Vec<Arc<dyn PreBind>>,
    /// What binds; the scheduler's when there is none.
    pub bind: Option<Arc<dyn Binder>>,
    /// After a pod was bound.
    pub post_bind: Vec<Arc<dyn PostBind>>,
}

impl Points {
    /// Kubernetes' defaults.
    pub fn defaults() -> Self {
        Self {
            pre_enqueue: vec![Arc::new(SchedulingGates)],
            queue_sort: Some(Arc::new(PrioritySort)),
            post_filter: vec![Arc::new(DefaultPreemption::default())],
            pre_bind: vec![Arc::new(crate::driver::WriteFacts)],
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_object_safe() {
        fn takes(_: &Points) {}
        takes(&Points::defaults());
    }
}
