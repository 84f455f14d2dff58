//! Plans of jobs.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::plan::{State, Write, plan};
use super::status::stands;
use super::view::{Record, TRACKING, index};
use crate::controllers::support::Plan;

fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).unwrap()
}

fn job(more: Value) -> Job {
    let mut spec = json!({"parallelism": 2, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c"}]}}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(json!({"metadata": {"name": "j", "namespace": "d", "uid": "j-1"}, "spec": spec})).unwrap()
}

fn pod(uid: &str, phase: &str, more: Value) -> Arc<Pod> {
    let owner = json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "j-1", "controller": true}]);
    let mut meta = json!({"name": uid, "namespace": "d", "uid": uid, "labels": {"a": "b"}, "ownerReferences": owner,
        "finalizers": [TRACKING], "creationTimestamp": "1970-01-12T00:00:00Z"});
    meta.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Arc::new(serde_json::from_value(json!({"metadata": meta, "status": {"phase": phase}})).unwrap())
}

fn with_index(uid: &str, phase: &str, at: i32) -> Arc<Pod> {
    pod(uid, phase, json!({"annotations": {"batch.kubernetes.io/job-completion-index": at.to_string()}}))
}

fn of(job: &Job, pods: &[Arc<Pod>]) -> Plan<Write, JobStatus> {
    let mut record = Record::default();
    record.learn(job, pods.iter().map(|pod| &**pod));
    plan(State { job, candidates: pods.to_vec(), leaving: BTreeSet::new(), record }, now())
}

fn made(plan: &Plan<Write, JobStatus>) -> Vec<&Pod> {
    plan.writes.iter().filter_map(|w| if let Write::Create(new) = w { Some(&new.pod) } else { None }).collect()
}

#[test]
fn an_indexed_job_makes_its_lowest_missing_indexes() {
    let job = job(json!({"completionMode": "Indexed", "completions": 4, "parallelism": 3}));
    let plan = of(&job, &[with_index("p", "Running", 1), with_index("q", "Succeeded", 0)]);
    let pods = made(&plan);
    assert_eq!(pods.iter().map(|pod| index(pod)).collect::<Vec<_>>(), [Some(2), Some(3)]);
    let spec = pods[0].spec.as_ref().unwrap();
    assert_eq!(spec.hostname.as_deref(), Some("j-2"));
    let env = serde_json::to_value(&spec.containers[0].env).unwrap();
    let path = "metadata.labels['batch.kubernetes.io/job-completion-index']";
    assert_eq!(env, json!([{"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": {"fieldPath": path}}}]));
    let status = plan.status.unwrap();
    assert_eq!((status.active, status.completed_indexes.as_deref()), (Some(1), Some("0")));
}

#[test]
fn a_pod_is_let_go_only_once_its_count_is_stored() {
    let mut job = job(json!({"completions": 2}));
    let pods = [pod("p", "Succeeded", json!({}))];
    let first = of(&job, &pods);
    assert!(!first.writes.contains(&Write::Untrack(pods[0].clone())));
    job.status = first.status;
    let second = of(&job, &pods);
    assert!(second.writes.contains(&Write::Untrack(pods[0].clone())));
    let free = [pod("p", "Succeeded", json!({"finalizers": []}))];
    let third = of(&job, &free).status.unwrap();
    assert_eq!((third.succeeded, third.uncounted_terminated_pods), (Some(1), Some(Default::default())));
}

#[test]
fn a_suspended_job_drops_its_pods_uncounted_and_begins_anew() {
    let mut job = job(json!({"suspend": true}));
    let pods = [pod("p", "Running", json!({}))];
    let plan = of(&job, &pods);
    assert_eq!(plan.writes, [Write::Drop(pods[0].clone())]);
    job.status = plan.status;
    let condition = &job.status.as_ref().unwrap().conditions.as_ref().unwrap()[0];
    assert_eq!((&*condition.type_, condition.reason.as_deref()), ("Suspended", Some("JobSuspended")));
    job.spec.as_mut().unwrap().suspend = Some(false);
    let resumed = of(&job, &[]);
    assert_eq!((made(&resumed).len(), resumed.status.unwrap().start_time.unwrap().0), (2, now()));
}

#[test]
fn failures_wait_before_they_are_tried_again_and_end_the_job() {
    let job_of = |limit: i32| job(json!({"completions": 1, "parallelism": 1, "backoffLimit": limit}));
    let failed = pod("p", "Failed", json!({"creationTimestamp": "1970-01-12T13:46:35Z"}));
    let plan = of(&job_of(1), std::slice::from_ref(&failed));
    assert!(made(&plan).is_empty());
    assert_eq!(plan.wake, Some(Timestamp::from_second(1_000_005).unwrap()));
    let status = of(&job_of(0), &[failed]).status.unwrap();
    assert_eq!(stands(&status, "FailureTarget").unwrap().reason.as_deref(), Some("BackoffLimitExceeded"));
    assert!(stands(&status, "Failed").is_none(), "its pod is not counted yet");
}

#[test]
fn policies_of_failure_and_success_decide() {
    let policy = |action: &str| {
        json!({"completions": 1, "podFailurePolicy": {"rules":
            [{"action": action, "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]}})
    };
    let mut lost = Pod::clone(&pod("p", "Failed", json!({})));
    let conditions = json!([{"type": "DisruptionTarget", "status": "True"}]);
    lost.status.as_mut().unwrap().conditions = serde_json::from_value(conditions).unwrap();
    let lost = Arc::new(lost);
    let status = of(&job(policy("FailJob")), std::slice::from_ref(&lost)).status.unwrap();
    let target = stands(&status, "FailureTarget").unwrap();
    assert_eq!(
        target.message.as_deref(),
        Some("Pod d/p has condition DisruptionTarget matching FailJob rule at index 0")
    );
    let ignored = of(&job(policy("Ignore")), std::slice::from_ref(&lost));
    assert_eq!(ignored.status.unwrap().uncounted_terminated_pods, Some(Default::default()));
    assert!(ignored.writes.contains(&Write::Untrack(lost)));
    let success = job(json!({"completionMode": "Indexed", "completions": 3,
        "successPolicy": {"rules": [{"succeededIndexes": "1-2", "succeededCount": 1}]}}));
    let pods = [with_index("p", "Succeeded", 2), with_index("q", "Running", 0)];
    let plan = of(&success, &pods);
    assert!(plan.writes.contains(&Write::Delete(pods[1].clone())));
    let status = plan.status.unwrap();
    assert_eq!(stands(&status, "SuccessCriteriaMet").unwrap().message.as_deref(), Some("Matched rules at index 0"));
}

#[test]
fn an_index_fails_alone_and_its_count_is_handed_on() {
    let job = job(json!({"completionMode": "Indexed", "completions": 2, "backoffLimitPerIndex": 1}));
    let first = with_index("p", "Failed", 0);
    let plan = of(&job, &[first.clone(), with_index("q", "Running", 1)]);
    assert!(!plan.writes.contains(&Write::Untrack(first)), "its successor has to know of it");
    let annotations = made(&plan)[0].metadata.annotations.clone().unwrap();
    assert_eq!(annotations["batch.kubernetes.io/job-index-failure-count"], "1");
    let again = pod(
        "r",
        "Failed",
        json!({"annotations": {"batch.kubernetes.io/job-completion-index": "0",
        "batch.kubernetes.io/job-index-failure-count": "1"}}),
    );
    let status = of(&job, &[again, with_index("q", "Running", 1)]).status.unwrap();
    assert_eq!(status.failed_indexes.as_deref(), Some("0"));
}

/// Carries a plan out on a job and its pods; those that are deleted go at once unless they are tracked.
fn apply(job: &mut Job, pods: &mut Vec<Arc<Pod>>, plan: Plan<Write, JobStatus>, made: &mut usize) {
    let release = |pods: &mut Vec<Arc<Pod>>, of: &Arc<Pod>| {
        for pod in pods.iter_mut().filter(|pod| pod.metadata.uid == of.metadata.uid) {
            Arc::make_mut(pod).metadata.finalizers = None;
        }
    };
    if plan.status.is_some() {
        job.status = plan.status;
    }
    for write in plan.writes {
        match write {
            Write::Untrack(pod) => release(pods, &pod),
            Write::Create(new) => {
                *made += 1;
                let mut pod = new.pod;
                pod.metadata.uid = Some(format!("new-{made}"));
                pod.metadata.name = pod.metadata.uid.clone();
                pods.push(Arc::new(pod));
            }
            Write::Delete(pod) => end(pods, &pod),
            Write::Drop(pod) => {
                release(pods, &pod);
                end(pods, &pod);
            }
            Write::Adopt(_) | Write::Release(_) => {}
        }
    }
    pods.retain(|pod| {
        pod.metadata.deletion_timestamp.is_none() || pod.metadata.finalizers.iter().flatten().next().is_some()
    });
}

fn end(pods: &mut [Arc<Pod>], of: &Pod) {
    for pod in pods.iter_mut().filter(|pod| pod.metadata.uid == of.metadata.uid) {
        Arc::make_mut(pod).metadata.deletion_timestamp = Some(crate::controllers::support::meta::time(now()));
    }
}

proptest! {
    /// From any pods, repeated passes (pods of the job succeed when they are made) end the job, count each pod once, and then
    /// write nothing more.
    #[test]
    fn passes_end_and_then_write_nothing(
        phases in prop::collection::vec(prop_oneof![Just("Running"), Just("Succeeded"), Just("Pending")], 0..6),
        indexes in prop::collection::vec(0..4_i32, 6),
        completions in 1..4_i32,
        indexed in any::<bool>(),
    ) {
        let mode = if indexed { "Indexed" } else { "NonIndexed" };
        let mut job = job(json!({"completionMode": mode, "completions": completions}));
        let mut pods: Vec<_> = phases.iter().zip(&indexes).enumerate()
            .map(|(n, (phase, at))| with_index(&format!("p{n}"), phase, *at)).collect();
        let mut count = 0;
        for _ in 0..60 {
            let plan = of(&job, &pods);
            apply(&mut job, &mut pods, plan, &mut count);
            if let Some(pod) = pods.iter_mut().find(|pod| {
                pod.metadata.deletion_timestamp.is_none() && !crate::controllers::support::pods::is_terminal(pod)
            }) {
                Arc::make_mut(pod).status.get_or_insert_default().phase = Some("Succeeded".to_owned());
            }
        }
        let status = job.status.clone().unwrap();
        prop_assert!(stands(&status, "Complete").is_some(), "{status:?}");
        prop_assert!(status.succeeded.unwrap() >= completions);
        prop_assert!(pods.iter().all(|pod| pod.metadata.finalizers.iter().flatten().next().is_none()));
        let last = of(&job, &pods);
        prop_assert!(last.writes.is_empty() && last.status.is_none(), "{last:?}");
    }
}
