//! Transcripts of single pods against a model of a runtime.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::*;
use crate::runtime::ContainerState;

mod history;
mod model;
mod resize;

use model::{Model, Play, short};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn pod(spec: Value) -> Pod {
    let meta = json!({"name": "p", "namespace": "ns", "uid": "u", "generation": 1});
    serde_json::from_value(json!({"metadata": meta, "spec": spec})).unwrap()
}

#[test]
fn a_pod_starts_restarts_and_ends() {
    let mut play = Play::new(pod(json!({
        "initContainers": [{"name": "setup", "image": "i"}], "containers": [{"name": "web", "image": "i"}]
    })));
    assert_eq!(play.told(), ["Mount", "RunSandbox 0", "Start setup 0"]);
    assert_eq!(play.phase(), "Pending");
    play.exit("setup", 0, 1);
    assert_eq!(play.told(), ["Start web 0"]);
    assert_eq!(play.phase(), "Running");
    play.exit("web", 1, 5);
    assert_eq!(play.told(), ["Start web 1"]);
    play.exit("web", 1, 5);
    assert_eq!(play.told(), ["BackOff! Back-off restarting failed container web in pod p_ns(u)"]);
    let status = play.machine.status().container_statuses.as_ref().unwrap()[0].clone();
    let waiting = status.state.unwrap().waiting.unwrap();
    assert_eq!(waiting.message.unwrap(), "back-off 10s restarting failed container=web pod=p_ns(u)");
    assert_eq!(status.restart_count, 1);
    play.pass(10);
    assert_eq!(play.told(), ["RemoveContainer u-0-web-0", "Start web 2"]);
    play.delete(30);
    let want = [
        "Killing! Stopping container web",
        "Stop web 30s hook=true",
        "StopSandbox u-0",
        "RemoveSandbox u-0",
        "Unmount",
        "Delete",
    ];
    assert_eq!(play.told(), want);
    play.input(Input::Gone);
    assert_eq!(play.told(), ["finished"]);
}

#[test]
fn an_ephemeral_container_runs_once_beside_the_others() {
    let spec =
        json!({"containers": [{"name": "web", "image": "i"}], "initContainers": [{"name": "setup", "image": "i"}]});
    let mut play = Play::new(pod(spec));
    assert_eq!(play.told(), ["Mount", "RunSandbox 0", "Start setup 0"]);
    let mut asked = Pod::clone(play.machine.pod());
    let extra = json!([{"name": "debug", "image": "busybox"}]);
    asked.spec.as_mut().unwrap().ephemeral_containers = serde_json::from_value(extra).unwrap();
    play.input(Input::Spec(Arc::new(asked)));
    assert_eq!(play.told(), ["Start debug 0"], "the initialization is not waited for");
    play.exit("setup", 0, 1);
    assert_eq!((play.told(), play.phase()), (vec!["Start web 0".to_owned()], "Running"));
    play.exit("debug", 3, 1);
    assert_eq!((play.told().len(), play.phase()), (0, "Running"), "it is not run again and fails nobody");
    let status = play.machine.status();
    assert_eq!(
        (status.container_statuses.as_ref().unwrap().len(), status.init_container_statuses.as_ref().unwrap().len()),
        (1, 1)
    );
    let debug = &status.ephemeral_container_statuses.as_ref().unwrap()[0];
    assert_eq!(
        (debug.image.as_str(), debug.state.as_ref().unwrap().terminated.as_ref().unwrap().exit_code),
        ("busybox", 3)
    );
    let ready = status.conditions.iter().flatten().find(|c| c.type_ == "ContainersReady").unwrap();
    assert_eq!(ready.status, "True");
    // An agent that starts now knows it all.
    let mut found = Pod::clone(play.machine.pod());
    found.status = Some(PodStatus::clone(status));
    let mut later = Machine::new(Arc::new(found), play.machine.config.clone(), at(9));
    let step = later.step(Input::Observed(play.model.seen.clone()), at(9));
    assert_eq!(step.actions.iter().map(short).collect::<Vec<_>>(), ["Mount"]);
    let step = later.step(Input::Done(Action::Mount, Ok(()), None), at(9));
    assert!(step.actions.is_empty(), "{:?}", step.actions);
}

#[test]
fn a_shorter_grace_shortens_the_stop() {
    let mut play = Play::new(pod(json!({"containers": [{"name": "web", "image": "i"}]})));
    play.told();
    // The stop is under way and does not end.
    let mut marked = Pod::clone(play.machine.pod());
    marked.metadata.deletion_timestamp = Some(run::time(at(30)));
    marked.metadata.deletion_grace_period_seconds = Some(30);
    let step = play.machine.step(Input::Spec(Arc::new(marked.clone())), at(0));
    assert_eq!(step.actions.iter().map(short).collect::<Vec<_>>(), ["Stop web 30s hook=true"]);
    let step = play.machine.step(Input::Tick, at(1));
    assert!(step.actions.is_empty());
    marked.metadata.deletion_grace_period_seconds = Some(0);
    let step = play.machine.step(Input::Spec(Arc::new(marked)), at(2));
    assert_eq!(step.actions.iter().map(short).collect::<Vec<_>>(), ["Stop web 0s hook=false"]);
}

#[test]
fn sidecars_start_before_and_stop_after() {
    let mut play = Play::new(pod(json!({
        "initContainers": [{"name": "proxy", "image": "i", "restartPolicy": "Always"}],
        "containers": [{"name": "web", "image": "i"}], "restartPolicy": "Never"
    })));
    assert_eq!(play.told(), ["Mount", "RunSandbox 0", "Start proxy 0", "Start web 0"]);
    play.exit("web", 0, 3);
    assert_eq!(play.told(), ["Killing! Stopping container proxy", "Stop proxy 30s hook=true", "StopSandbox u-0"]);
    assert_eq!(play.phase(), "Succeeded");
}

#[test]
fn a_failing_image_backs_off_and_says_so() {
    let mut play = Play::new(pod(json!({"containers": []})));
    play.machine = Machine::new(
        Arc::new(pod(json!({"containers": [{"name": "web", "image": "i"}]}))),
        play.machine.config.clone(),
        at(0),
    );
    play.model.pending = play.machine.step(Input::Observed(Observation::default()), at(0)).actions;
    let mut now = 0;
    let mut seen = Vec::new();
    for _ in 0..40 {
        let Some(action) = play.model.pending.pop() else {
            now += 5;
            play.model.pending = play.machine.step(Input::Tick, at(now)).actions;
            continue;
        };
        let good = !matches!(action, Action::Start { .. });
        if !good {
            seen.push(now);
        }
        let input = play.model.answer(action, good, at(now));
        play.model.pending.extend(play.machine.step(input, at(now)).actions);
    }
    assert_eq!(seen[..4], [0, 10, 30, 70]);
    let status = play.machine.status().container_statuses.as_ref().unwrap()[0].clone();
    let waiting = status.state.unwrap().waiting.unwrap();
    assert_eq!(waiting.reason.as_deref(), Some("ImagePullBackOff"));
    assert_eq!(waiting.message.as_deref(), Some("Back-off pulling image \"i\": ErrImagePull: no"));
}

#[test]
fn a_deadline_ends_the_pod() {
    let mut play = Play::new(pod(json!({"activeDeadlineSeconds": 20, "containers": [{"name": "web", "image": "i"}]})));
    play.told();
    play.pass(19);
    assert!(play.told().is_empty());
    play.pass(1);
    assert_eq!(play.told()[1..], ["Killing! Stopping container web", "Stop web 30s hook=true", "StopSandbox u-0"]);
    assert_eq!((play.phase(), play.machine.status().reason.as_deref()), ("Failed", Some("DeadlineExceeded")));
}

#[test]
fn readiness_follows_the_probe_and_startup_comes_first() {
    let probe = |period: i64| json!({"exec": {"command": ["x"]}, "periodSeconds": period, "failureThreshold": 2});
    let mut play = Play::new(pod(json!({"containers": [{
        "name": "web", "image": "i", "startupProbe": probe(5), "readinessProbe": probe(5)
    }]})));
    let told = play.told();
    assert_eq!(told[2..], ["Start web 0", "Probe web Startup", "Probe web Readiness"]);
    let ready = |play: &Play| play.machine.status().container_statuses.as_ref().unwrap()[0].ready;
    assert!(ready(&play));
    let id = play.machine.run_of("web").unwrap().0;
    for (round, want) in [(1, true), (2, false)] {
        let (kind, container) = (ProbeKind::Readiness, "web".to_owned());
        play.input(Input::Probed { container, id: id.clone(), kind, success: false, message: "no".into() });
        assert_eq!(ready(&play), want, "round {round}");
    }
    assert_eq!(play.told(), ["Unhealthy! Readiness probe failed: no", "Unhealthy! Readiness probe failed: no"]);
    play.pass(5);
    assert!(ready(&play));
}

#[test]
fn a_pod_that_somebody_else_failed_is_ended() {
    let mut play = Play::new(pod(json!({"containers": [{"name": "web", "image": "i"}]})));
    play.told();
    let mut failed = Pod::clone(play.machine.pod());
    let status = json!({"phase": "Failed", "reason": "Evicted"});
    failed.status = Some(serde_json::from_value(status).unwrap());
    play.input(Input::Spec(Arc::new(failed)));
    assert_eq!(play.told(), ["Killing! Stopping container web", "Stop web 30s hook=true", "StopSandbox u-0"]);
    assert_eq!(play.machine.status().reason.as_deref(), Some("Evicted"));
}

#[test]
fn a_restarted_agent_keeps_counts_and_readiness() {
    let spec = json!({"containers": [{"name": "web", "image": "i", "readinessProbe": {"exec": {"command": ["x"]}}}]});
    let mut play = Play::new(pod(spec.clone()));
    play.exit("web", 1, 5);
    let before = play.machine.status().clone();
    let mut again = pod(spec);
    again.status = Some(PodStatus::clone(&before));
    let config = play.machine.config.clone();
    play.machine = Machine::new(Arc::new(again), config, at(50));
    let step = play.machine.step(Input::Observed(play.model.seen.clone()), at(50));
    // Volumes are brought up to date and the probe goes on; nothing else happens.
    assert_eq!(step.actions.iter().map(short).collect::<Vec<_>>(), ["Probe web Readiness", "Mount"]);
    assert_eq!(**play.machine.status(), *before);
    assert_eq!(before.container_statuses.as_ref().unwrap()[0].restart_count, 1);
}
