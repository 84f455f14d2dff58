//! Which pods may be tried, and in which order.

use std::collections::BTreeMap;
use std::sync::Arc;

use orc_core::Name;

use crate::pod::PodInfo;
use crate::points::{PreEnqueue, PrioritySort, QueueSort, SchedulingGates};
use crate::profile::Profile;

/// Which pods may be tried, and in which order.
#[derive(Clone)]
pub struct QueuePoints {
    /// The order.
    pub sort: Arc<dyn QueueSort>,
    /// Those that hold pods back, by the name of the scheduler that a pod names.
    pub admit: BTreeMap<Name, Vec<Arc<dyn PreEnqueue>>>,
    /// Those for pods of other schedulers' names.
    pub otherwise: Vec<Arc<dyn PreEnqueue>>,
}

impl Default for QueuePoints {
    fn default() -> Self {
        Self { sort: Arc::new(PrioritySort), admit: BTreeMap::new(), otherwise: vec![Arc::new(SchedulingGates)] }
    }
}

impl QueuePoints {
    /// Those of profiles; the first profile's order holds for all.
    pub fn of(profiles: &[Profile]) -> Self {
        let sort = profiles.iter().find_map(|profile| profile.points.queue_sort.clone());
        Self {
            sort: sort.unwrap_or_else(|| Arc::new(PrioritySort)),
            admit: profiles.iter().map(|p| (p.name.clone(), p.points.pre_enqueue.clone())).collect(),
            ..Self::default()
        }
    }

    /// Why a pod is held back.
    pub fn held(&self, pod: &PodInfo) -> Option<String> {
        let points = self.admit.get(&pod.scheduler).unwrap_or(&self.otherwise);
        points.iter().find_map(|point| point.admit(pod).err())
    }
}
