//! What claims and volumes need, case by case.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use serde_json::{Value, json};

use super::claim::{self, View};
use super::marks::{
    BIND_COMPLETED, BOUND_BY_CONTROLLER, FINALIZER, PROVISIONED_BY, PROVISIONER, PROVISIONER_BETA, SELECTED_NODE, YES,
};
use super::provision::{self, LOCAL_PATH};
use super::step::{Plan, Step};
use super::volume;
use crate::controllers::support::meta;

/// A claim of a size, in the namespace `app`, whose uid is its name's.
pub(super) fn claim(name: &str, size: &str) -> PersistentVolumeClaim {
    serde_json::from_value(json!({"metadata": {"name": name, "namespace": "app", "uid": format!("uid-{name}")},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": {"requests": {"storage": size}}},
        "status": {"phase": "Pending"}}))
    .unwrap()
}

/// A free volume of a size.
pub(super) fn volume(name: &str, size: &str) -> PersistentVolume {
    serde_json::from_value(json!({"metadata": {"name": name, "uid": format!("uid-{name}")},
        "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": size}, "volumeMode": "Filesystem",
            "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": "/x"}},
        "status": {"phase": "Available"}}))
    .unwrap()
}

/// A view of a claim and the volumes that there are.
pub(super) fn view<'a>(claim: &'a PersistentVolumeClaim, volumes: &[PersistentVolume]) -> View<'a> {
    let named = super::named_volume(claim);
    let named = volumes.iter().find(|volume| meta::name(&volume.metadata) == named);
    View {
        claim,
        named: named.cloned().map(Arc::new),
        volumes: volumes.iter().cloned().map(Arc::new).collect(),
        class: None,
        default_class: None,
        node: None,
        waiting: Vec::new(),
        provisions: true,
    }
}

/// An object with some of its fields replaced.
fn with<K: serde::Serialize + serde::de::DeserializeOwned>(object: &K, change: Value) -> K {
    fn merge(into: &mut Value, change: Value) {
        match (into, change) {
            (Value::Object(into), Value::Object(change)) => {
                change.into_iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
            }
            (into, change) => *into = change,
        }
    }
    let mut value = serde_json::to_value(object).unwrap();
    merge(&mut value, change);
    serde_json::from_value(value).unwrap()
}

fn chosen(plan: &Plan) -> &str {
    match &plan.step {
        Some(Step::Volume(volume)) => meta::name(&volume.metadata),
        other => panic!("no volume was chosen: {other:?}"),
    }
}

fn told(plan: &Plan) -> Vec<(&str, &str)> {
    plan.told.iter().map(|told| (told.reason, told.message.as_str())).collect()
}

#[test]
fn the_smallest_volume_that_will_do_is_taken() {
    let wants = claim("c", "5Gi");
    let volumes = [
        volume("small", "1Gi"),
        volume("large", "50Gi"),
        volume("right", "6Gi"),
        with(&volume("class", "5Gi"), json!({"spec": {"storageClassName": "fast"}})),
        with(&volume("block", "5Gi"), json!({"spec": {"volumeMode": "Block"}})),
        with(&volume("many", "5Gi"), json!({"spec": {"accessModes": ["ReadOnlyMany"]}})),
        with(&volume("going", "5Gi"), json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})),
        with(&volume("kept", "5Gi"), json!({"status": {"phase": "Released"}, "spec": {"claimRef": {"uid": "old"}}})),
    ];
    assert_eq!(chosen(&claim::plan(&view(&wants, &volumes))), "right");
    let labelled = with(&volumes[1], json!({"metadata": {"labels": {"tier": "gold"}}}));
    let picky = with(&wants, json!({"spec": {"selector": {"matchLabels": {"tier": "gold"}}}}));
    assert_eq!(chosen(&claim::plan(&view(&picky, &[volumes[2].clone(), labelled]))), "large");
    // What is promised to the claim comes before what would fit better.
    let own = with(&volumes[1], json!({"spec": {"claimRef": {"namespace": "app", "name": "c"}}}));
    let Some(Step::Volume(next)) = claim::plan(&view(&wants, &[volumes[2].clone(), own])).step else { panic!() };
    assert_eq!(meta::name(&next.metadata), "large");
    assert_eq!(meta::annotation(&next.metadata, BOUND_BY_CONTROLLER), None, "its maker chose, and not the binder");
}

#[test]
fn a_bond_takes_four_writes() {
    let (mut wants, mut has) = (claim("c", "1Gi"), volume("v", "2Gi"));
    let mut writes = Vec::new();
    while let Some(step) = claim::plan(&view(&wants, std::slice::from_ref(&has))).step {
        match step {
            Step::Volume(next) | Step::VolumeStatus(next) => has = *next,
            Step::Claim(next) | Step::ClaimStatus(next) => wants = *next,
            other => panic!("{other:?}"),
        }
        writes.push((super::marks::phase(&has).to_owned(), super::named_volume(&wants).to_owned()));
        assert!(writes.len() < 9, "{writes:?}");
    }
    let steps: Vec<_> = writes.iter().map(|(phase, named)| (phase.as_str(), named.as_str())).collect();
    assert_eq!(steps, [("Available", ""), ("Bound", ""), ("Bound", "v"), ("Bound", "v")]);
    assert_eq!(meta::annotation(&wants.metadata, BIND_COMPLETED), Some(YES));
    let status = wants.status.unwrap();
    assert_eq!(status.phase.as_deref(), Some("Bound"));
    assert_eq!(status.capacity.unwrap()["storage"].0, "2Gi", "the claim says what it got");
}

#[test]
fn a_claim_that_names_its_volume_gets_that_or_none() {
    let wants = with(&claim("c", "1Gi"), json!({"spec": {"volumeName": "v"}}));
    assert_eq!(claim::plan(&view(&wants, &[volume("other", "1Gi")])), Plan::default(), "it waits");
    assert_eq!(chosen(&claim::plan(&view(&wants, &[volume("v", "1Gi")]))), "v");
    let small = claim::plan(&view(&wants, &[volume("v", "1Mi")]));
    let why = r#"Cannot bind to requested volume "v": requested PV is too small"#;
    assert_eq!((told(&small), &small.step), (vec![("VolumeMismatch", why)], &None));
    let taken = with(&volume("v", "1Gi"), json!({"spec": {"claimRef": {"namespace": "app", "name": "d", "uid": "d"}}}));
    let refused = claim::plan(&view(&wants, &[taken]));
    assert_eq!(told(&refused), [("FailedBinding", r#"volume "v" already bound to a different claim."#)]);
}

#[test]
fn a_claim_that_was_bound_can_only_be_lost() {
    let was = json!({"metadata": {"annotations": {BIND_COMPLETED: YES}}, "spec": {"volumeName": "v"}, "status": {"phase": "Bound"}});
    let wants = with(&claim("c", "1Gi"), was);
    let lost = claim::plan(&view(&wants, &[volume("other", "1Gi")]));
    assert_eq!(told(&lost)[0].0, "ClaimLost");
    let Some(Step::ClaimStatus(next)) = lost.step else { panic!("{:?}", lost.step) };
    assert_eq!(next.status.clone().unwrap().phase.as_deref(), Some("Lost"));
    assert_eq!(claim::plan(&view(&next, &[])), Plan::default(), "it is told once");
    let others =
        with(&volume("v", "1Gi"), json!({"spec": {"claimRef": {"namespace": "app", "name": "d", "uid": "d"}}}));
    assert_eq!(told(&claim::plan(&view(&wants, &[others])))[0].0, "ClaimMisbound");
}

fn class(extra: Value) -> Arc<k8s_openapi::api::storage::v1::StorageClass> {
    let base =
        json!({"metadata": {"name": "fast"}, "provisioner": LOCAL_PATH, "volumeBindingMode": "WaitForFirstConsumer"});
    with(&serde_json::from_value::<k8s_openapi::api::storage::v1::StorageClass>(base).unwrap(), extra).into()
}

#[test]
fn a_volume_is_made_on_the_node_of_the_first_pod() {
    let mut wants = with(&claim("c", "1Gi"), json!({"spec": {"storageClassName": "fast"}}));
    let unknown = claim::plan(&view(&wants, &[]));
    assert_eq!(told(&unknown), [("ProvisioningFailed", r#"storageclass.storage.k8s.io "fast" not found"#)]);
    // A free volume of the class is the scheduler's to give.
    let free = with(&volume("v", "1Gi"), json!({"spec": {"storageClassName": "fast"}}));
    let waits = claim::plan(&View { class: Some(class(json!({}))), ..view(&wants, &[free]) });
    assert_eq!(told(&waits), [("WaitForFirstConsumer", "waiting for first consumer to be created before binding")]);
    let pods = View { class: Some(class(json!({}))), waiting: vec!["p".to_owned()], ..view(&wants, &[]) };
    assert_eq!(told(&claim::plan(&pods)), [("WaitForPodScheduled", "waiting for pod p to be scheduled")]);

    wants = with(&wants, json!({"metadata": {"annotations": {SELECTED_NODE: "n"}}}));
    let Some(Step::Claim(marked)) = claim::plan(&View { class: Some(class(json!({}))), ..view(&wants, &[]) }).step
    else {
        panic!("not marked");
    };
    for mark in [PROVISIONER, PROVISIONER_BETA] {
        assert_eq!(meta::annotation(&marked.metadata, mark), Some(LOCAL_PATH));
    }
    let gone = claim::plan(&View { class: Some(class(json!({}))), ..view(&marked, &[]) });
    let Some(Step::Claim(again)) = &gone.step else { panic!("{gone:?}") };
    assert_eq!(meta::annotation(&again.metadata, SELECTED_NODE), None, "the scheduler chooses again");
    let node: k8s_openapi::api::core::v1::Node =
        serde_json::from_value(json!({"metadata": {"name": "n", "labels": {"kubernetes.io/hostname": "host"}}}))
            .unwrap();
    let node = Arc::new(node);
    let make = claim::plan(&View { class: Some(class(json!({}))), node: Some(node.clone()), ..view(&marked, &[]) });
    assert!(matches!(make.step, Some(Step::Provision(..))), "{make:?}");

    let made = provision::volume(&marked, &class(json!({})), &node, std::path::Path::new("/data/x"));
    assert_eq!(meta::name(&made.metadata), "pvc-uid-c");
    assert_eq!(provision::node_of(&made, &[node]).as_deref(), Some("n"));
    assert_eq!(provision::node_of(&made, &[]).as_deref(), Some("host"), "of a node that is gone the label is left");
    assert!(super::matching::is_for(&made, &marked));
    let bind = claim::plan(&View { class: Some(class(json!({}))), ..view(&marked, &[made]) });
    assert!(matches!(bind.step, Some(Step::VolumeStatus(_))), "{bind:?}");
}

#[test]
fn what_a_folder_cannot_be_is_refused() {
    let refused = |change: Value| provision::check(&with(&claim("c", "1Gi"), change), Some("n")).unwrap_err();
    assert!(refused(json!({"spec": {"accessModes": ["ReadWriteMany"]}})).contains("ReadWriteMany"));
    assert!(refused(json!({"spec": {"volumeMode": "Block"}})).contains("block"));
    assert!(refused(json!({"spec": {"selector": {}}})).contains("Selector"));
    assert!(provision::check(&claim("c", "1Gi"), None).unwrap_err().contains("WaitForFirstConsumer"));
    assert_eq!(provision::check(&claim("c", "1Gi"), Some("n")), Ok(()));
}

#[test]
fn other_provisioners_are_waited_for() {
    let class = class(json!({"provisioner": "example.com/disk", "volumeBindingMode": "Immediate"}));
    let marks =
        json!({"metadata": {"annotations": {PROVISIONER: "example.com/disk"}}, "spec": {"storageClassName": "fast"}});
    let wants = with(&claim("c", "1Gi"), marks);
    let waits = claim::plan(&View { class: Some(class), ..view(&wants, &[]) });
    assert!(waits.step.is_none() && told(&waits)[0].0 == "ExternalProvisioning", "{waits:?}");
    let none = claim::plan(&view(&claim("c", "1Gi"), &[]));
    let why = "no persistent volumes available for this claim and no storage class is set";
    assert_eq!(told(&none), [("FailedBinding", why)]);
}

#[test]
fn a_claim_without_a_class_gets_the_default_that_appears_later() {
    let wants = with(&claim("c", "1Gi"), json!({"spec": {"storageClassName": null}}));
    let plan = claim::plan(&View { default_class: Some("fast".to_owned()), ..view(&wants, &[]) });
    let Some(Step::Claim(next)) = plan.step else { panic!("{plan:?}") };
    assert_eq!(super::claim_class(&next), Some("fast"));
    let none = claim("c", "1Gi");
    let plan = claim::plan(&View { default_class: Some("fast".to_owned()), ..view(&none, &[]) });
    assert_eq!(plan.step, None, "it says that it wants none");
}

#[test]
fn a_volume_without_its_claim_is_kept_or_taken_away() {
    let of = |extra: Value| {
        let to = json!({"spec": {"claimRef": {"namespace": "app", "name": "c", "uid": "uid-c"}}, "status": {"phase": "Bound"}});
        with(&with(&volume("v", "1Gi"), to), extra)
    };
    let step =
        |volume: &PersistentVolume, claim: Option<&PersistentVolumeClaim>| volume::plan(volume, claim, true).step;
    let mine = with(&claim("c", "1Gi"), json!({"spec": {"volumeName": "v"}}));
    assert_eq!(step(&of(json!({})), Some(&mine)), None);
    let namesake = with(&mine, json!({"metadata": {"uid": "another"}}));
    for claim in [None, Some(&namesake)] {
        let Some(Step::VolumeStatus(next)) = step(&of(json!({})), claim) else { panic!("not released") };
        assert_eq!(super::marks::phase(&next), "Released");
        assert_eq!(step(&next, claim), None, "Retain keeps it");
    }
    let delete = json!({"status": {"phase": "Released"}, "spec": {"persistentVolumeReclaimPolicy": "Delete"}});
    let strange = volume::plan(&of(delete.clone()), None, true);
    assert_eq!(told(&strange)[0].0, "VolumeFailedDelete");
    let local = json!({"metadata": {"annotations": {PROVISIONED_BY: LOCAL_PATH}, "finalizers": [FINALIZER]}});
    let local = with(&of(delete), local);
    assert_eq!(step(&local, None), Some(Step::Wipe));
    assert_eq!(volume::plan(&local, None, false).step, None, "somebody else's");
    let kept = with(&local, json!({"spec": {"persistentVolumeReclaimPolicy": "Retain"}}));
    let Some(Step::Volume(next)) = step(&kept, None) else { panic!("held") };
    assert_eq!(next.metadata.finalizers.as_deref(), Some(&[][..]), "nothing holds it now");
    assert_eq!(step(&next, None), None);
}

#[test]
fn a_promise_that_came_to_nothing_is_taken_back() {
    let elsewhere = with(&claim("c", "1Gi"), json!({"spec": {"volumeName": "other"}}));
    let to = json!({"spec": {"claimRef": {"namespace": "app", "name": "c", "uid": "uid-c"}}});
    let asked = with(&volume("v", "1Gi"), to);
    let Some(Step::Volume(next)) = volume::plan(&asked, Some(&elsewhere), true).step else { panic!() };
    let left = next.spec.unwrap().claim_ref.unwrap();
    assert_eq!((left.name.as_deref(), left.uid), (Some("c"), None), "somebody asked for this claim by name");
    let chosen = with(&asked, json!({"metadata": {"annotations": {BOUND_BY_CONTROLLER: YES}}}));
    let Some(Step::Volume(next)) = volume::plan(&chosen, Some(&elsewhere), true).step else { panic!() };
    assert_eq!(next.spec.unwrap().claim_ref, None);
}

#[test]
fn a_local_claim_grows_where_its_class_allows() {
    let made = json!({"metadata": {"annotations": {PROVISIONED_BY: LOCAL_PATH}},
        "spec": {"claimRef": {"namespace": "app", "name": "c", "uid": "uid-c"}}, "status": {"phase": "Bound"}});
    let mut has = with(&volume("v", "1Gi"), made);
    let mut wants = with(
        &claim("c", "3Gi"),
        json!({"metadata": {"annotations": {BIND_COMPLETED: YES}}, "spec": {"volumeName": "v", "storageClassName": "fast"},
            "status": {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}}),
    );
    let firm = View { class: Some(class(json!({}))), ..view(&wants, std::slice::from_ref(&has)) };
    assert_eq!(claim::plan(&firm), Plan::default());
    let grows = class(json!({"allowVolumeExpansion": true}));
    for _ in 0..2 {
        match claim::plan(&View { class: Some(grows.clone()), ..view(&wants, std::slice::from_ref(&has)) }).step {
            Some(Step::Volume(next)) => has = *next,
            Some(Step::ClaimStatus(next)) => wants = *next,
            other => panic!("{other:?}"),
        }
    }
    let capacity = wants.status.as_ref().unwrap().capacity.as_ref().unwrap();
    assert_eq!(capacity["storage"].0, "3Gi");
    assert_eq!(claim::plan(&View { class: Some(grows), ..view(&wants, &[has]) }), Plan::default());
}
