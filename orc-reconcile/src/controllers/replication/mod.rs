//! Replication controllers: what replica sets were before, with a selector of equalities only.
//!
//! As upstream, the core is that of replica sets, seen through a conversion.

use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetSpec, ReplicaSetStatus};
use k8s_openapi::api::core::v1::{ReplicationController, ReplicationControllerCondition, ReplicationControllerStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use orc_core::ObjectKey;
use orc_store::Env;

use super::replicaset::{Replicated, replicated};
use crate::Controller;

/// The loop of replication controllers.
pub fn replication_controller(env: Env) -> Controller<ObjectKey> {
    replicated::<ReplicationController>(env)
}

impl Replicated for ReplicationController {
    const LOOP: &str = "replication-controller";

    fn as_set(&self) -> ReplicaSet {
        let spec = self.spec.clone().map(|spec| ReplicaSetSpec {
            replicas: spec.replicas,
            min_ready_seconds: spec.min_ready_seconds,
            selector: LabelSelector { match_labels: spec.selector, ..Default::default() },
            template: spec.template,
        });
        let status = self.status.clone().map(|status| ReplicaSetStatus {
            replicas: status.replicas,
            fully_labeled_replicas: status.fully_labeled_replicas,
            ready_replicas: status.ready_replicas,
            available_replicas: status.available_replicas,
            observed_generation: status.observed_generation,
            conditions: status.conditions.map(|all| all.into_iter().map(of_controller).collect()),
            ..Default::default()
        });
        ReplicaSet { metadata: self.metadata.clone(), spec, status }
    }

    fn same_status(before: &ReplicaSetStatus, after: &ReplicaSetStatus) -> bool {
        // A replication controller does not tell how many pods are ending.
        let told = |status: &ReplicaSetStatus| ReplicaSetStatus { terminating_replicas: None, ..status.clone() };
        told(before) == told(after)
    }

    fn with_status(&self, status: ReplicaSetStatus) -> Self {
        let status = ReplicationControllerStatus {
            replicas: status.replicas,
            fully_labeled_replicas: status.fully_labeled_replicas,
            ready_replicas: status.ready_replicas,
            available_replicas: status.available_replicas,
            observed_generation: status.observed_generation,
            conditions: status.conditions.map(|all| all.into_iter().map(of_set).collect()),
        };
        Self { status: Some(status), ..self.clone() }
    }
}

fn of_controller(of: ReplicationControllerCondition) -> ReplicaSetCondition {
    let ReplicationControllerCondition { type_, status, reason, message, last_transition_time } = of;
    ReplicaSetCondition { type_, status, reason, message, last_transition_time }
}

fn of_set(of: ReplicaSetCondition) -> ReplicationControllerCondition {
    let ReplicaSetCondition { type_, status, reason, message, last_transition_time } = of;
    ReplicationControllerCondition { type_, status, reason, message, last_transition_time }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nothing_is_lost_on_the_way() {
        let own: ReplicationController = serde_json::from_value(json!({"metadata": {"name": "r", "uid": "1"},
            "spec": {"replicas": 2, "selector": {"a": "b"}, "template": {"metadata": {"labels": {"a": "b"}}}},
            "status": {"replicas": 2, "readyReplicas": 1, "observedGeneration": 3,
                "conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate"}]}}))
        .unwrap();
        let set = own.as_set();
        assert_eq!(set.spec.as_ref().unwrap().selector.match_labels, own.spec.as_ref().unwrap().selector);
        let status = set.status.unwrap();
        assert_eq!(own.with_status(status.clone()), own);
        let ending = ReplicaSetStatus { terminating_replicas: Some(1), ..status.clone() };
        assert!(ReplicationController::same_status(&status, &ending), "it would be written for ever");
    }
}
