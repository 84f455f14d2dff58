//! The pods on one node.

use std::sync::Arc;

use orc_core::Name;

use crate::pod::PodInfo;

/// Pods in the order of their uids, in one array: a node has a few to a few hundred. The first bytes of a uid stand beside the
/// pod, so that looking for a place reads the array alone and not one text elsewhere in memory for each pod passed by. That was
/// a seventh of a decision.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Residents(Vec<(u128, Arc<PodInfo>)>);

/// The first sixteen bytes, ordered as the text is. Uids that agree in them are compared in full.
fn prefix(uid: &str) -> u128 {
    let (mut bytes, length) = ([0; 16], uid.len().min(16));
    bytes[..length].copy_from_slice(&uid.as_bytes()[..length]);
    u128::from_be_bytes(bytes)
}

impl Residents {
    fn find(&self, uid: &str) -> Result<usize, usize> {
        let wanted = prefix(uid);
        let text = |pod: &Arc<PodInfo>| (*pod.uid).cmp(uid);
        self.0.binary_search_by(|(own, pod)| own.cmp(&wanted).then_with(|| text(pod)))
    }

    /// Adds a pod, or puts it in the place of the one with its uid.
    pub(super) fn insert(&mut self, pod: Arc<PodInfo>) {
        match self.find(&pod.uid) {
            Ok(at) => self.0[at].1 = pod,
            Err(at) => self.0.insert(at, (prefix(&pod.uid), pod)),
        }
    }

    /// Takes a pod out; says whether it was there.
    pub(super) fn remove(&mut self, uid: &str) -> bool {
        let found = self.find(uid);
        found.is_ok_and(|at| {
            self.0.remove(at);
            true
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn pods(&self) -> impl Iterator<Item = &Arc<PodInfo>> {
        self.0.iter().map(|(_, pod)| pod)
    }

    pub(super) fn uids(&self) -> impl Iterator<Item = &Name> {
        self.pods().map(|pod| &pod.uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Pod;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn pod(uid: &str) -> Arc<PodInfo> {
        Arc::new(PodInfo { uid: Name::new(uid), ..PodInfo::of(&Pod::default()) })
    }

    proptest! {
        #[test]
        fn it_is_a_map_by_uid(steps in prop::collection::vec(("(same-first-bytes)?[ab]{0,3}", any::<bool>()), 0..60)) {
            let (mut residents, mut model) = (Residents::default(), BTreeMap::new());
            for (uid, add) in steps {
                if add {
                    residents.insert(pod(&uid));
                    model.insert(Name::new(&uid), ());
                } else {
                    prop_assert_eq!(residents.remove(&uid), model.remove(&*uid).is_some());
                }
                prop_assert!(residents.uids().eq(model.keys()));
                prop_assert_eq!(residents.is_empty(), model.is_empty());
            }
        }
    }
}
