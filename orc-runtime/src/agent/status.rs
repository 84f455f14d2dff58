//! Writing a pod's status: the machine's fields over what others wrote.

use k8s_openapi::api::core::v1::{Pod, PodCondition, PodStatus};
use orc_core::{ApiError, ObjectKey};
use orc_store::Api;

use super::context::{Context, uid_of};
use super::statics::{self, mirror};

/// The conditions that the node owns.
const OWN: [&str; 7] = [
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
    "PodResizePending",
    "PodResizeInProgress",
];

/// Brings the API's status to what the machine says. A pod that is gone, or another one of the same name, is left alone.
pub(super) async fn write(context: &Context, pod: &Pod, wanted: &PodStatus) -> Result<(), ApiError> {
    if statics::is_static(pod) {
        return mirror::write(context, pod, wanted).await;
    }
    let _turn = context.turns.acquire().await;
    let (key, uid) = (ObjectKey::of(pod), uid_of(pod));
    let api: Api<Pod> = Api::namespaced(context.env.client.clone(), key.namespace_str());
    let write = api.modify_status(&key.name, |pod| {
        if pod.metadata.uid.as_deref() == Some(uid) {
            merge(pod.status.get_or_insert_default(), wanted);
        }
    });
    match write.await {
        Err(error) if error.is_not_found() => Ok(()),
        other => other.map(drop),
    }
}

pub(super) fn merge(status: &mut PodStatus, wanted: &PodStatus) {
    // A pod that ended never runs again, whoever says so.
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"))
        && !matches!(wanted.phase.as_deref(), Some("Succeeded" | "Failed"))
    {
        return;
    }
    let conditions =
        merged(status.conditions.take().unwrap_or_default(), wanted.conditions.as_deref().unwrap_or_default());
    let wanted = wanted.clone();
    status.conditions = Some(conditions);
    status.phase = wanted.phase;
    // Whoever evicts or disrupts a pod names the reason itself.
    status.reason = wanted.reason.or(status.reason.take());
    status.message = wanted.message.or(status.message.take());
    status.host_ip = wanted.host_ip;
    status.host_ips = wanted.host_ips;
    status.pod_ip = wanted.pod_ip;
    status.pod_ips = wanted.pod_ips;
    status.start_time = wanted.start_time;
    status.init_container_statuses = wanted.init_container_statuses;
    status.container_statuses = wanted.container_statuses;
    status.ephemeral_container_statuses = wanted.ephemeral_container_statuses;
    status.qos_class = wanted.qos_class.or(status.qos_class.take());
    status.observed_generation = wanted.observed_generation;
}

/// The node's conditions first, in its order, then everybody else's.
fn merged(present: Vec<PodCondition>, wanted: &[PodCondition]) -> Vec<PodCondition> {
    let own = wanted.iter().map(|condition| {
        let mut condition = condition.clone();
        let before = present.iter().find(|other| other.type_ == condition.type_ && other.status == condition.status);
        // The scheduler knows since when a pod is scheduled.
        if let Some(before) = before.filter(|_| condition.type_ == "PodScheduled") {
            condition.last_transition_time.clone_from(&before.last_transition_time);
        }
        condition
    });
    let others = present.iter().filter(|condition| !OWN.contains(&condition.type_.as_str())).cloned();
    own.chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(kind: &str, status: &str) -> PodCondition {
        PodCondition { type_: kind.into(), status: status.into(), ..Default::default() }
    }

    #[test]
    fn others_conditions_stay_and_an_ended_pod_stays_ended() {
        let mut status = PodStatus {
            conditions: Some(vec![condition("example.com/gate", "True"), condition("Ready", "False")]),
            ..Default::default()
        };
        let wanted = PodStatus {
            phase: Some("Failed".into()),
            conditions: Some(vec![condition("Ready", "True")]),
            ..Default::default()
        };
        merge(&mut status, &wanted);
        let kinds: Vec<_> = status.conditions.iter().flatten().map(|c| (c.type_.as_str(), c.status.as_str())).collect();
        assert_eq!(kinds, [("Ready", "True"), ("example.com/gate", "True")]);
        merge(&mut status, &PodStatus { phase: Some("Running".into()), ..Default::default() });
        assert_eq!(status.phase.as_deref(), Some("Failed"));
    }
}
