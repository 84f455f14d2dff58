//! Rollouts, planned step by step against replica sets that follow at once or not at all.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, ReplicaSetStatus};
use proptest::prelude::*;
use serde_json::json;

use super::plan::{State, Write, plan};
use super::sets;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn deployment(replicas: i32, surge: i32, unavailable: i32) -> Deployment {
    serde_json::from_value(json!({"metadata": {"name": "d", "namespace": "n", "uid": "d-1", "generation": 1}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"a": "b"}}, "progressDeadlineSeconds": 60,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "one"}]}}}}))
    .unwrap()
}

/// A deployment and its sets, with every planned write done.
struct World {
    deployment: Deployment,
    sets: Vec<Arc<ReplicaSet>>,
    now: i64,
}

impl World {
    /// One pass; says whether something was left to do.
    fn pass(&mut self) -> bool {
        let state = State { deployment: &self.deployment, candidates: self.sets.clone() };
        let planned = plan(state, at(self.now));
        let busy = !planned.writes.is_empty() || planned.status.is_some();
        for write in planned.writes {
            match write {
                Write::Create(set) => {
                    let mut set = *set;
                    set.metadata.uid = Some(format!("r-{}", self.sets.len()));
                    self.sets.push(Arc::new(set));
                }
                Write::Update(next) | Write::Scale { next, .. } => self.put(*next),
                Write::Delete(set) => self.sets.retain(|other| other.metadata.uid != set.metadata.uid),
                Write::Annotate(revision) => {
                    let annotations = self.deployment.metadata.annotations.get_or_insert_default();
                    annotations.insert(sets::REVISION.to_owned(), revision);
                }
                Write::Adopt(_) | Write::Release(_) => panic!("nothing to adopt or release"),
            }
        }
        if let Some(status) = planned.status {
            self.deployment.status = Some(status);
        }
        busy
    }

    fn put(&mut self, next: ReplicaSet) {
        let place = self.sets.iter_mut().find(|set| set.metadata.uid == next.metadata.uid).unwrap();
        *place = Arc::new(next);
    }

    /// One set gets its pods.
    fn follow(&mut self, n: usize) {
        let mut next = ReplicaSet::clone(&self.sets[n]);
        let replicas = sets::replicas(&next);
        let some = Some(replicas);
        next.status =
            Some(ReplicaSetStatus { replicas, ready_replicas: some, available_replicas: some, ..Default::default() });
        self.put(next);
    }

    fn reason(&self) -> Option<&str> {
        super::status::progress(self.deployment.status.as_ref()?)?.reason.as_deref()
    }

    fn set_image(&mut self, image: &str) {
        let spec = self.deployment.spec.as_mut().unwrap();
        spec.template.spec.as_mut().unwrap().containers[0].image = Some(image.to_owned());
    }
}

fn settled(mut world: World) -> World {
    for _ in 0..200 {
        let busy = world.pass();
        (0..world.sets.len()).for_each(|n| world.follow(n));
        if !busy {
            return world;
        }
    }
    panic!("does not settle");
}

fn world(replicas: i32, surge: i32, unavailable: i32) -> World {
    World { deployment: deployment(replicas, surge, unavailable), sets: Vec::new(), now: 100 }
}

#[test]
fn a_rollout_ends_and_an_undo_is_a_new_revision() {
    let mut world = settled(world(3, 1, 0));
    assert_eq!(world.reason(), Some("NewReplicaSetAvailable"));
    world.set_image("two");
    let mut world = settled(world);
    assert_eq!(world.sets.iter().map(|set| sets::replicas(set)).collect::<Vec<_>>(), [0, 3]);
    world.set_image("one");
    let world = settled(world);
    assert_eq!(world.sets.iter().map(|set| sets::replicas(set)).collect::<Vec<_>>(), [3, 0]);
    assert_eq!(sets::revision(&world.sets[0]), 3);
}

#[test]
fn a_rollout_that_stands_still_exceeds_its_deadline() {
    let mut world = world(1, 1, 0);
    for _ in 0..10 {
        world.pass();
    }
    assert_eq!(world.reason(), Some("NewReplicaSetCreated"));
    world.now += 62;
    world.pass();
    assert_eq!(world.reason(), Some("ProgressDeadlineExceeded"));
    world.follow(0);
    let world = settled(world);
    assert_eq!(world.reason(), Some("NewReplicaSetAvailable"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever the order in which sets get their pods: never too many pods, never too few available ones.
    #[test]
    fn a_rollout_keeps_its_bounds(size in 1i32..8, surge in 0i32..3, unavailable in 0i32..3, order in prop::collection::vec(0usize..2, 60)) {
        let mut world = settled(world(size, surge, unavailable));
        let bounds = super::percent::bounds(world.deployment.spec.as_ref().unwrap());
        world.set_image("two");
        for n in order {
            world.pass();
            if n < world.sets.len() {
                world.follow(n);
            }
            let total: i32 = world.sets.iter().map(|set| sets::replicas(set)).sum();
            let available: i32 = world.sets.iter().map(|set| sets::available(set).min(sets::replicas(set))).sum();
            prop_assert!(total <= size + bounds.surge, "{total} of {size} are too many");
            prop_assert!(available >= size - bounds.unavailable, "{available} of {size} are too few");
        }
        let world = settled(world);
        prop_assert_eq!(sets::replicas(&world.sets[1]), size);
        prop_assert_eq!(sets::replicas(&world.sets[0]), 0);
    }
}
