//! Takes victims of preemption away: tells them why, then deletes them.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use orc_core::ApiError;
use orc_core::env::Clock;
use orc_store::client::{DeleteOptions, Preconditions};
use orc_store::{Api, ObjectClient};

use crate::pod::PodInfo;

/// Takes a pod away for another. One that is gone already is fine.
///
/// # Errors
/// The client's.
pub(super) async fn evict(
    client: Arc<dyn ObjectClient>,
    clock: Clock,
    victim: Arc<PodInfo>,
    scheduler: String,
) -> Result<(), ApiError> {
    let api: Api<Pod> = Api::namespaced(client, victim.key.namespace_str());
    let now = clock.now();
    let told = api.modify_status(&victim.key.name, |pod| {
        if pod.metadata.uid.as_deref() == Some(&*victim.uid) {
            mark(pod, now, &scheduler);
        }
    });
    gone_is_fine(told.await.map(drop))?;
    let preconditions = Preconditions { uid: Some(victim.uid.to_string()), ..Preconditions::default() };
    let options = DeleteOptions { preconditions, ..DeleteOptions::default() };
    gone_is_fine(api.delete(&victim.key.name, options).await)
}

/// A conflict of the uid means that the pod is another one by now.
fn gone_is_fine(outcome: Result<(), ApiError>) -> Result<(), ApiError> {
    match outcome {
        Err(error) if error.is_not_found() => Ok(()),
        other => other,
    }
}

fn mark(pod: &mut Pod, now: Timestamp, scheduler: &str) {
    let generation = pod.metadata.generation;
    let conditions = pod.status.get_or_insert_default().conditions.get_or_insert_default();
    conditions.retain(|condition| condition.type_ != "DisruptionTarget");
    conditions.push(PodCondition {
        type_: "DisruptionTarget".to_owned(),
        status: "True".to_owned(),
        reason: Some("PreemptionByScheduler".to_owned()),
        message: Some(format!("{scheduler}: preempting to accommodate a higher priority pod")),
        last_transition_time: Some(Time(now)),
        observed_generation: generation,
        ..PodCondition::default()
    });
}
