//! Which run of a container a request for logs means, in the kubelet's words when there is none.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, PodStatus};
use orc_core::ApiError;

use crate::runtime::ContainerId;

/// The run whose log is asked for.
pub(super) fn run_of(status: &PodStatus, pod: &str, container: &str, previous: bool) -> Result<ContainerId, ApiError> {
    let lists = [&status.init_container_statuses, &status.container_statuses, &status.ephemeral_container_statuses];
    let found = lists.into_iter().flatten().flatten().find(|known| known.name == container);
    let Some(found) = found else {
        return Err(ApiError::bad_request(format!("container {container:?} in pod {pod:?} is not available")));
    };
    let id = if previous { previous_run(found, pod)? } else { present_run(found, pod)? };
    Ok(ContainerId::new(id.split_once("://").map_or(id.as_str(), |(_, id)| id)))
}

fn ended(state: Option<&ContainerState>) -> Option<String> {
    state?.terminated.as_ref()?.container_id.clone().filter(|id| !id.is_empty())
}

fn previous_run(status: &ContainerStatus, pod: &str) -> Result<String, ApiError> {
    ended(status.last_state.as_ref()).ok_or_else(|| {
        let name = &status.name;
        ApiError::bad_request(format!("previous terminated container {name:?} in pod {pod:?} not found"))
    })
}

fn present_run(status: &ContainerStatus, pod: &str) -> Result<String, ApiError> {
    let name = &status.name;
    let state = status.state.clone().unwrap_or_default();
    if state.running.is_some() {
        return Ok(status.container_id.clone().unwrap_or_default());
    }
    // One that waits to be run again shows the log of the run before.
    if let Some(id) = ended(Some(&state)).or_else(|| ended(status.last_state.as_ref())) {
        return Ok(id);
    }
    let waits = match state.waiting.and_then(|waiting| waiting.reason) {
        Some(reason) if reason == "ErrImagePull" => "image can't be pulled".to_owned(),
        Some(reason) if reason == "ImagePullBackOff" => "trying and failing to pull image".to_owned(),
        Some(reason) => reason,
        None => {
            let text = format!("container {name:?} in pod {pod:?} is waiting to start - no logs yet");
            return Err(ApiError::bad_request(text));
        }
    };
    Err(ApiError::bad_request(format!("container {name:?} in pod {pod:?} is waiting to start: {waits}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_run_is_found() {
        let status: PodStatus = serde_json::from_value(serde_json::json!({"containerStatuses": [
            {"name": "a", "ready": false, "image": "", "imageID": "", "restartCount": 1, "containerID": "sim://a-1",
             "state": {"waiting": {"reason": "CrashLoopBackOff"}},
             "lastState": {"terminated": {"exitCode": 1, "containerID": "sim://a-1"}}},
            {"name": "b", "ready": false, "image": "", "imageID": "", "restartCount": 0,
             "state": {"waiting": {"reason": "ContainerCreating"}}}
        ]}))
        .unwrap();
        assert_eq!(run_of(&status, "p", "a", false).unwrap().as_str(), "a-1");
        let error = run_of(&status, "p", "b", false).unwrap_err();
        assert_eq!(error.message(), "container \"b\" in pod \"p\" is waiting to start: ContainerCreating");
        assert_eq!(error.code(), 400);
        assert!(run_of(&status, "p", "b", true).unwrap_err().message().starts_with("previous terminated container"));
    }
}
