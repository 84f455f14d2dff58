//! Which node may see which object: a pure index from the pods that run on nodes to what the pods refer to.
//!
//! A pod's references are counted by object and node when the pod is bound, and taken away when it goes: a change costs the
//! references of its own pod, a question costs a lookup or two.

use std::collections::{BTreeMap, BTreeSet};

use orc_core::Name;

/// A kind of object that nodes see only in part.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Sort {
    Secret,
    ConfigMap,
    Claim,
    Volume,
    Account,
    ResourceClaim,
    Attachment,
    Slice,
}

/// One object: its kind, its namespace (empty for those of the cluster) and its name.
pub(super) type Thing = (Sort, Name, Name);

/// A namespace and a name.
pub(super) type Place = (Name, Name);

/// A pod that is bound to a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Bound {
    pub(super) node: Name,
    pub(super) uid: Name,
    pub(super) generation: Option<i64>,
    /// What the pod's containers and volumes need.
    pub(super) refs: Vec<Thing>,
    /// Whether the references may grow without a new generation: claims for devices are made later.
    pub(super) grows: bool,
}

/// What a volume of the cluster is bound to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Volume {
    pub(super) claim: Place,
    /// The secrets that its driver needs.
    pub(super) secrets: Vec<Place>,
}

/// The index.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pods: BTreeMap<Place, Bound>,
    /// How many pods of a node refer to a thing.
    held: BTreeMap<Thing, BTreeMap<Name, u32>>,
    volumes: BTreeMap<Name, Volume>,
    by_secret: BTreeMap<Place, BTreeSet<Name>>,
    /// Things that name their node themselves.
    owned: BTreeMap<Thing, Name>,
}

impl Graph {
    /// What is known of a pod.
    pub(super) fn pod(&self, place: &Place) -> Option<&Bound> {
        self.pods.get(place)
    }

    /// Takes in a pod, or forgets it.
    pub(super) fn set_pod(&mut self, place: Place, pod: Option<Bound>) {
        if let Some(old) = self.pods.remove(&place) {
            old.refs.iter().for_each(|thing| self.drop_ref(thing, &old.node));
        }
        let Some(pod) = pod else { return };
        for thing in &pod.refs {
            *self.held.entry(thing.clone()).or_default().entry(pod.node.clone()).or_default() += 1;
        }
        self.pods.insert(place, pod);
    }

    fn drop_ref(&mut self, thing: &Thing, node: &Name) {
        let Some(nodes) = self.held.get_mut(thing) else { return };
        if let Some(count) = nodes.get_mut(node) {
            *count -= 1;
            if *count == 0 {
                nodes.remove(node);
            }
        }
        if nodes.is_empty() {
            self.held.remove(thing);
        }
    }

    /// Takes in a volume of the cluster, or forgets it.
    pub(super) fn set_volume(&mut self, name: Name, volume: Option<Volume>) {
        if let Some(old) = self.volumes.remove(&name) {
            for secret in &old.secrets {
                if let Some(volumes) = self.by_secret.get_mut(secret) {
                    volumes.remove(&name);
                    if volumes.is_empty() {
                        self.by_secret.remove(secret);
                    }
                }
            }
        }
        let Some(volume) = volume else { return };
        for secret in &volume.secrets {
            self.by_secret.entry(secret.clone()).or_default().insert(name.clone());
        }
        self.volumes.insert(name, volume);
    }

    /// Takes in a thing that names its node, or forgets it.
    pub(super) fn set_owner(&mut self, thing: Thing, node: Option<Name>) {
        match node {
            Some(node) => self.owned.insert(thing, node),
            None => self.owned.remove(&thing),
        };
    }

    /// All pods.
    pub(super) fn pods(&self) -> Vec<Place> {
        self.pods.keys().cloned().collect()
    }

    /// All volumes.
    pub(super) fn volumes(&self) -> Vec<Name> {
        self.volumes.keys().cloned().collect()
    }

    /// All things of a kind that name their node.
    pub(super) fn owned(&self, sort: Sort) -> Vec<Thing> {
        self.owned.keys().filter(|thing| thing.0 == sort).cloned().collect()
    }

    /// Whether a pod runs on a node.
    pub(super) fn runs(&self, node: &str, place: &Place) -> bool {
        self.pods.get(place).is_some_and(|pod| pod.node == *node)
    }

    /// Whether a thing is needed on a node.
    pub(super) fn reaches(&self, node: &str, thing: &Thing) -> bool {
        if self.held.get(thing).is_some_and(|nodes| nodes.contains_key(node)) {
            return true;
        }
        let (sort, namespace, name) = thing;
        match sort {
            Sort::Volume => self.volume_reaches(node, name),
            Sort::Secret => {
                let volumes = self.by_secret.get(&(namespace.clone(), name.clone()));
                volumes.is_some_and(|volumes| volumes.iter().any(|volume| self.volume_reaches(node, volume)))
            }
            Sort::Attachment | Sort::Slice => self.owned.get(thing).is_some_and(|owner| *owner == *node),
            _ => false,
        }
    }

    fn volume_reaches(&self, node: &str, name: &Name) -> bool {
        self.volumes.get(name).is_some_and(|volume| {
            let (namespace, claim) = volume.claim.clone();
            self.held.get(&(Sort::Claim, namespace, claim)).is_some_and(|nodes| nodes.contains_key(node))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn thing(sort: Sort, name: &str) -> Thing {
        (sort, "d".into(), name.into())
    }

    fn bound(node: &str, refs: &[Thing]) -> Bound {
        Bound { node: node.into(), uid: "u".into(), generation: None, refs: refs.to_vec(), grows: false }
    }

    fn place(name: &str) -> Place {
        ("d".into(), name.into())
    }

    #[test]
    fn a_node_reaches_what_its_pods_need_and_no_longer() {
        let mut graph = Graph::default();
        let (secret, claim) = (thing(Sort::Secret, "s"), thing(Sort::Claim, "c"));
        graph.set_pod(place("a"), Some(bound("n1", &[secret.clone(), claim])));
        graph.set_pod(place("b"), Some(bound("n1", std::slice::from_ref(&secret))));
        let driver = Volume { claim: place("c"), secrets: vec![place("key")] };
        graph.set_volume("pv".into(), Some(driver));
        let volume: Thing = (Sort::Volume, "".into(), "pv".into());
        assert!(graph.reaches("n1", &secret) && graph.reaches("n1", &volume));
        assert!(graph.reaches("n1", &thing(Sort::Secret, "key")), "a secret of a volume of a claim of a pod");
        assert!(!graph.reaches("n2", &secret) && !graph.reaches("n2", &volume));
        graph.set_pod(place("a"), None);
        assert!(graph.reaches("n1", &secret) && !graph.reaches("n1", &volume));
        graph.set_pod(place("b"), None);
        assert!(!graph.reaches("n1", &secret));
        assert!(graph.held.is_empty());
    }

    proptest! {
        /// Counting as pods come and go gives what looking at all pods would.
        #[test]
        fn counts_agree_with_the_pods(steps in prop::collection::vec((0..6_u8, 0..3_u8, prop::collection::vec(0..4_u8, 0..4), any::<bool>()), 1..60)) {
            let mut graph = Graph::default();
            for (pod, node, refs, there) in steps {
                let refs: Vec<Thing> = refs.iter().map(|r| thing(Sort::Secret, &r.to_string())).collect();
                graph.set_pod(place(&pod.to_string()), there.then(|| bound(&node.to_string(), &refs)));
            }
            for node in 0..3_u8 {
                for secret in 0..4_u8 {
                    let (node, secret) = (node.to_string(), thing(Sort::Secret, &secret.to_string()));
                    let needs = graph.pods.values().any(|pod| pod.node == *node.as_str() && pod.refs.contains(&secret));
                    prop_assert_eq!(graph.reaches(&node, &secret), needs);
                }
            }
        }
    }
}
