//! Two leaders that both believe in themselves, with caches as old as may be, that stop at any write: a bond that stands is
//! never broken, and once one of them sees everything, all is bound that can be.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use proptest::prelude::*;

use super::marks::{BIND_COMPLETED, named_volume};
use super::matching::promised;
use super::step::Step;
use super::tests::{claim, view, volume as free};
use super::{claim as claims, volume as volumes};
use crate::controllers::support::meta;

const SIZES: [&str; 3] = ["1Gi", "2Gi", "3Gi"];

/// What the server has, or what a leader has seen of it.
#[derive(Clone, Default)]
struct Objects {
    claims: BTreeMap<String, PersistentVolumeClaim>,
    volumes: BTreeMap<String, PersistentVolume>,
}

#[derive(Clone, Debug)]
enum Act {
    /// A leader sees all claims, or all volumes, as they are now.
    See(bool, bool),
    /// A leader looks at the claim of a number.
    Claim(bool, usize),
    /// A leader looks at the volume of a number.
    Volume(bool, usize),
    /// Somebody deletes a claim and makes another of its name.
    Renew(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        3 => (any::<bool>(), any::<bool>()).prop_map(|(leader, claims)| Act::See(leader, claims)),
        6 => (any::<bool>(), 0..4_usize).prop_map(|(leader, index)| Act::Claim(leader, index)),
        4 => (any::<bool>(), 0..4_usize).prop_map(|(leader, index)| Act::Volume(leader, index)),
        1 => (0..4_usize).prop_map(Act::Renew),
    ];
    prop::collection::vec(act, 0..80)
}

struct World {
    truth: Objects,
    seen: [Objects; 2],
    revision: u64,
}

impl World {
    fn new(sizes: &[(usize, usize)]) -> Self {
        let mut truth = Objects::default();
        for (index, (wanted, offered)) in sizes.iter().enumerate() {
            let mut wants = claim(&format!("c{index}"), SIZES[*wanted]);
            wants.metadata.resource_version = Some("0".to_owned());
            truth.claims.insert(format!("c{index}"), wants);
            let mut has = free(&format!("v{index}"), SIZES[*offered]);
            has.metadata.resource_version = Some("0".to_owned());
            truth.volumes.insert(format!("v{index}"), has);
        }
        Self { seen: [truth.clone(), truth.clone()], truth, revision: 0 }
    }

    /// A write as the server takes it: only over what was read.
    fn put(&mut self, step: Step) -> bool {
        self.revision += 1;
        let revision = Some(self.revision.to_string());
        match step {
            Step::Claim(mut next) | Step::ClaimStatus(mut next) => {
                let Some(now) = self.truth.claims.get_mut(meta::name(&next.metadata)) else { return false };
                let same = now.metadata.resource_version == next.metadata.resource_version;
                next.metadata.resource_version = revision;
                if same {
                    *now = *next;
                }
                same
            }
            Step::Volume(mut next) | Step::VolumeStatus(mut next) => {
                let Some(now) = self.truth.volumes.get_mut(meta::name(&next.metadata)) else { return false };
                let same = now.metadata.resource_version == next.metadata.resource_version;
                next.metadata.resource_version = revision;
                if same {
                    *now = *next;
                }
                same
            }
            other => panic!("{other:?} needs a class"),
        }
    }

    fn act(&mut self, act: &Act) -> bool {
        match *act {
            Act::See(leader, true) => self.seen[usize::from(leader)].claims = self.truth.claims.clone(),
            Act::See(leader, false) => self.seen[usize::from(leader)].volumes = self.truth.volumes.clone(),
            Act::Claim(leader, index) => return self.claim(usize::from(leader), index),
            Act::Volume(leader, index) => return self.volume(usize::from(leader), index),
            Act::Renew(index) => {
                let name = format!("c{index}");
                self.revision += 1;
                if let Some(old) = self.truth.claims.get_mut(&name) {
                    let size =
                        old.spec.as_ref().unwrap().resources.as_ref().unwrap().requests.as_ref().unwrap()["storage"]
                            .0
                            .clone();
                    let mut new = claim(&name, &size);
                    new.metadata.uid = Some(format!("uid-{name}-{}", self.revision));
                    new.metadata.resource_version = Some(self.revision.to_string());
                    *old = new;
                }
            }
        }
        false
    }

    fn claim(&mut self, leader: usize, index: usize) -> bool {
        let seen = &self.seen[leader];
        let Some(claim) = seen.claims.get(&format!("c{index}")) else { return false };
        let known: Vec<_> = seen.volumes.values().cloned().collect();
        let step = claims::plan(&view(claim, &known)).step;
        step.is_some_and(|step| self.put(step))
    }

    fn volume(&mut self, leader: usize, index: usize) -> bool {
        let seen = &self.seen[leader];
        let Some(volume) = seen.volumes.get(&format!("v{index}")) else { return false };
        let to = promised(volume).cloned().unwrap_or_default();
        let name = to.name.unwrap_or_default();
        let cached = seen.claims.get(&name).filter(|claim| claim.metadata.uid == to.uid);
        // What the cache does not show is asked of the server.
        let claim = cached.or_else(|| self.truth.claims.get(&name));
        let step = volumes::plan(volume, claim, true).step;
        step.is_some_and(|step| self.put(step))
    }

    /// A claim that says it has a volume has it, and has it alone.
    fn check(&self) {
        let mut had = BTreeMap::new();
        for claim in self.truth.claims.values() {
            if meta::annotation(&claim.metadata, BIND_COMPLETED).is_none() {
                continue;
            }
            let volume = &self.truth.volumes[named_volume(claim)];
            assert_eq!(promised(volume).and_then(|to| to.uid.as_deref()), Some(meta::uid(&claim.metadata)));
            assert_eq!(had.insert(named_volume(claim), meta::name(&claim.metadata)), None, "one volume, two claims");
        }
    }

    /// One leader alone, who sees what he writes.
    fn settle(&mut self) {
        for _ in 0..200 {
            let mut wrote = false;
            for index in 0..4 {
                self.seen[0] = self.truth.clone();
                wrote |= self.claim(0, index);
                self.seen[0] = self.truth.clone();
                wrote |= self.volume(0, index);
                self.check();
            }
            if !wrote {
                return;
            }
        }
        panic!("it never comes to rest");
    }
}

proptest! {
    #[test]
    fn a_bond_is_never_broken_and_all_that_can_be_is_bound(
        sizes in prop::collection::vec((0..3_usize, 0..3_usize), 1..5),
        acts in acts(),
    ) {
        let mut world = World::new(&sizes);
        for act in &acts {
            let before = world.truth.claims.clone();
            world.act(act);
            world.check();
            for (name, claim) in &before {
                let now = &world.truth.claims[name];
                let same = now.metadata.uid == claim.metadata.uid && !named_volume(claim).is_empty();
                prop_assert!(!same || named_volume(now) == named_volume(claim), "a claim changed its volume");
            }
        }
        world.settle();
        for claim in world.truth.claims.values().filter(|claim| named_volume(claim).is_empty()) {
            for volume in world.truth.volumes.values().filter(|volume| promised(volume).is_none()) {
                let why = super::matching::refusal(volume, claim);
                prop_assert!(why.is_some(), "{:?} could have {:?}", claim.metadata.name, volume.metadata.name);
            }
        }
        for volume in world.truth.volumes.values().filter(|volume| super::marks::phase(volume) == "Bound") {
            let to = promised(volume).unwrap();
            let claim = &world.truth.claims[to.name.as_deref().unwrap()];
            prop_assert_eq!(named_volume(claim), meta::name(&volume.metadata));
            prop_assert_eq!(claim.status.as_ref().unwrap().phase.as_deref(), Some("Bound"));
        }
    }
}
