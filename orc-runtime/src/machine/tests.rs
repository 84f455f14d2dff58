//! Transcripts of single pods against a model of a runtime, and safety by random histories.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::runtime::{ContainerState, SandboxState};

mod resize;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn pod(spec: Value) -> Pod {
    let meta = json!({"name": "p", "namespace": "ns", "uid": "u", "generation": 1});
    serde_json::from_value(json!({"metadata": meta, "spec": spec})).unwrap()
}

/// A runtime that does nothing by itself.
#[derive(Default)]
struct Model {
    seen: Observation,
    pending: Vec<Action>,
}

impl Model {
    fn live(&self) -> usize {
        self.seen.sandboxes.iter().filter(|sandbox| sandbox.state == SandboxState::Ready).count()
    }

    fn runs(&self, name: &str) -> bool {
        self.seen.containers.iter().any(|c| c.name == name && c.state == ContainerState::Running)
    }

    fn exit(&mut self, index: usize, code: i32, now: Timestamp) {
        let container = &mut self.seen.containers[index];
        container.state = ContainerState::Exited;
        container.exit_code = Some(code);
        container.finished_at = Some(now);
    }

    fn lose_sandboxes(&mut self, now: Timestamp) {
        self.seen.sandboxes.iter_mut().for_each(|sandbox| sandbox.state = SandboxState::NotReady);
        for index in 0..self.seen.containers.len() {
            if self.seen.containers[index].state != ContainerState::Exited {
                self.exit(index, 137, now);
            }
        }
    }

    /// Carries an action out.
    fn apply(&mut self, action: &Action, now: Timestamp) {
        match action {
            Action::RunSandbox { attempt } => self.seen.sandboxes.push(SandboxStatus {
                id: SandboxId::new(format!("u-{attempt}")),
                pod_uid: "u".into(),
                name: "p".into(),
                namespace: "ns".into(),
                attempt: *attempt,
                state: SandboxState::Ready,
                created_at: now,
                ips: vec!["10.0.0.1".parse().unwrap()],
                host_network: false,
                labels: Default::default(),
                annotations: Default::default(),
            }),
            Action::Start { container, attempt, sandbox } => {
                if !self.seen.sandboxes.iter().any(|s| s.id == *sandbox && s.state == SandboxState::Ready) {
                    return;
                }
                self.seen.containers.push(ContainerStatus {
                    id: ContainerId::new(format!("{sandbox}-{container}-{attempt}")),
                    sandbox_id: sandbox.clone(),
                    pod_uid: "u".into(),
                    name: container.clone(),
                    attempt: *attempt,
                    image: "i".into(),
                    state: ContainerState::Running,
                    pid: None,
                    created_at: now,
                    started_at: Some(now),
                    finished_at: None,
                    exit_code: None,
                    signal: None,
                    reason: String::new(),
                    message: String::new(),
                    log_path: None,
                    labels: Default::default(),
                    annotations: Default::default(),
                });
            }
            Action::Stop { id, .. } => {
                let found = self.seen.containers.iter().position(|c| c.id == *id && c.state == ContainerState::Running);
                found.into_iter().for_each(|index| self.exit(index, 143, now));
            }
            Action::StopSandbox { .. } => self.lose_sandboxes(now),
            Action::RemoveSandbox { id } => {
                self.seen.sandboxes.retain(|sandbox| sandbox.id != *id);
                self.seen.containers.retain(|container| container.sandbox_id != *id);
            }
            Action::RemoveContainer { id } => self.seen.containers.retain(|container| container.id != *id),
            Action::Mount | Action::Unmount | Action::Delete | Action::Probe { .. } | Action::Resize { .. } => {}
        }
    }

    fn answer(&mut self, action: Action, good: bool, now: Timestamp) -> Input {
        if let Action::Probe { container, id, kind } = action {
            return Input::Probed {
                container,
                id,
                kind,
                success: good,
                message: if good { String::new() } else { "said no".into() },
            };
        }
        if good {
            self.apply(&action, now);
        }
        let result = if good { Ok(()) } else { Err(Failure::new("ErrImagePull", "no")) };
        Input::Done(action, result, Some(self.seen.clone()))
    }
}

fn short(action: &Action) -> String {
    match action {
        Action::RunSandbox { attempt } => format!("RunSandbox {attempt}"),
        Action::Start { container, attempt, .. } => format!("Start {container} {attempt}"),
        Action::Stop { container, grace, hook, .. } => format!("Stop {container} {}s hook={hook}", grace.as_secs()),
        Action::Probe { container, kind, .. } => format!("Probe {container} {}", kind.as_str()),
        Action::RemoveContainer { id } => format!("RemoveContainer {id}"),
        Action::Resize { container, generation, .. } => format!("Resize {container} {generation}"),
        Action::StopSandbox { id } => format!("StopSandbox {id}"),
        Action::RemoveSandbox { id } => format!("RemoveSandbox {id}"),
        Action::Mount | Action::Unmount | Action::Delete => format!("{action:?}"),
    }
}

/// One pod whose actions are carried out at once, with what happened as text.
struct Play {
    machine: Machine,
    model: Model,
    now: i64,
    said: Vec<String>,
}

impl Play {
    fn new(pod: Pod) -> Self {
        let config = MachineConfig { scheme: "sim".into(), host_ips: vec!["192.0.2.1".parse().unwrap()] };
        let machine = Machine::new(Arc::new(pod), config, at(0));
        let mut play = Self { machine, model: Model::default(), now: 0, said: Vec::new() };
        play.input(Input::Observed(Observation::default()));
        play
    }

    fn input(&mut self, input: Input) {
        // In the order of their beginning: what was seen later counts more.
        let mut inputs = std::collections::VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let step = self.machine.step(input, at(self.now));
            self.said.extend(step.events.iter().map(|event| format!("{}! {}", event.reason, event.message)));
            if step.finished {
                self.said.push("finished".into());
            }
            for action in step.actions {
                self.said.push(short(&action));
                inputs.push_back(self.model.answer(action, true, at(self.now)));
            }
        }
    }

    /// Lets a container end, `seconds` later.
    fn exit(&mut self, name: &str, code: i32, seconds: i64) {
        self.now += seconds;
        let running = |c: &ContainerStatus| c.name == name && c.state == ContainerState::Running;
        let index = self.model.seen.containers.iter().position(running).unwrap();
        self.model.exit(index, code, at(self.now));
        self.input(Input::Observed(self.model.seen.clone()));
    }

    fn pass(&mut self, seconds: i64) {
        self.now += seconds;
        self.input(Input::Tick);
    }

    fn delete(&mut self, grace: i64) {
        let mut pod = Pod::clone(self.machine.pod());
        pod.metadata.deletion_timestamp = Some(slot::time(at(self.now + grace)));
        pod.metadata.deletion_grace_period_seconds = Some(grace);
        self.input(Input::Spec(Arc::new(pod)));
    }

    fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.said)
    }

    fn phase(&self) -> &str {
        self.machine.status().phase.as_deref().unwrap_or_default()
    }
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
    marked.metadata.deletion_timestamp = Some(slot::time(at(30)));
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

#[derive(Debug, Clone)]
enum Happening {
    Answer { index: usize, good: bool },
    Exit { index: usize, code: i32 },
    Observe,
    Lose,
    Pass(i64),
    Delete(i64),
    Gone,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        10 => (0..8_usize, prop::bool::weighted(0.8)).prop_map(|(index, good)| Happening::Answer { index, good }),
        3 => (0..8_usize, 0..2_i32).prop_map(|(index, code)| Happening::Exit { index, code }),
        3 => Just(Happening::Observe),
        1 => Just(Happening::Lose),
        4 => (1..120_i64).prop_map(Happening::Pass),
        1 => (0..40_i64).prop_map(Happening::Delete),
        1 => Just(Happening::Gone),
    ]
}

fn spec() -> impl Strategy<Value = Value> {
    let policy = prop_oneof![Just("Always"), Just("OnFailure"), Just("Never")];
    (policy, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(policy, init, sidecar, probed)| {
        let mut inits = Vec::new();
        if init {
            inits.push(json!({"name": "init", "image": "i"}));
        }
        if sidecar {
            inits.push(json!({"name": "side", "image": "i", "restartPolicy": "Always"}));
        }
        let mut web = json!({"name": "web", "image": "i"});
        if probed {
            web["livenessProbe"] = json!({"exec": {"command": ["x"]}, "failureThreshold": 1});
            web["readinessProbe"] = json!({"exec": {"command": ["x"]}});
        }
        let containers = json!([web, {"name": "two", "image": "i"}]);
        json!({"restartPolicy": policy, "initContainers": inits, "containers": containers})
    })
}

/// What must hold of each action when it is given out.
fn check(model: &Model, actions: &[Action]) {
    for (index, action) in actions.iter().enumerate() {
        assert!(!model.pending.contains(action), "given out twice: {action:?}");
        assert!(!actions[..index].contains(action), "given out twice: {action:?}");
        let pending = model.pending.iter().chain(&actions[..index]);
        match action {
            Action::RunSandbox { .. } => {
                assert_eq!(model.live(), 0, "a second sandbox");
                assert_eq!(pending.filter(|other| matches!(other, Action::RunSandbox { .. })).count(), 0);
            }
            Action::Start { container, attempt, .. } => {
                assert!(!model.runs(container), "{container} runs already");
                let same = |other: &&Action| matches!(other, Action::Start { container: c, .. } if c == container);
                assert_eq!(pending.filter(same).count(), 0);
                let older = model.seen.containers.iter().filter(|c| c.name == *container);
                assert!(older.map(|c| c.attempt).max().is_none_or(|last| *attempt > last), "an attempt again");
            }
            Action::Delete => assert!(model.seen.sandboxes.is_empty(), "deleted before it was ended"),
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_history_is_safe_and_a_stop_is_final(spec in spec(), history in prop::collection::vec(happening(), 0..60)) {
        let mut play = Play::new(pod(spec));
        let config = play.machine.config.clone();
        play.machine = Machine::new(play.machine.pod().clone(), config, at(0));
        play.model = Model::default();
        let mut now = 0;
        let mut gone = false;
        let feed = |model: &mut Model, machine: &mut Machine, input: Input, now: i64| -> bool {
            let step = machine.step(input, at(now));
            check(model, &step.actions);
            model.pending.extend(step.actions);
            step.finished
        };
        let mut finished = feed(&mut play.model, &mut play.machine, Input::Observed(Observation::default()), now);
        for happening in history {
            if finished {
                break;
            }
            let model = &mut play.model;
            let input = match happening {
                Happening::Answer { index, good } => {
                    if model.pending.is_empty() {
                        continue;
                    }
                    let action = model.pending.remove(index % model.pending.len());
                    model.answer(action, good, at(now))
                }
                Happening::Exit { index, code } => {
                    let running: Vec<usize> = (0..model.seen.containers.len())
                        .filter(|index| model.seen.containers[*index].state == ContainerState::Running)
                        .collect();
                    if running.is_empty() {
                        continue;
                    }
                    model.exit(running[index % running.len()], code, at(now));
                    Input::Observed(model.seen.clone())
                }
                Happening::Observe => Input::Observed(model.seen.clone()),
                Happening::Lose => {
                    model.lose_sandboxes(at(now));
                    Input::Observed(model.seen.clone())
                }
                Happening::Pass(seconds) => {
                    now += seconds;
                    Input::Tick
                }
                Happening::Delete(grace) => {
                    let mut pod = Pod::clone(play.machine.pod());
                    pod.metadata.deletion_timestamp = Some(slot::time(at(now + grace)));
                    pod.metadata.deletion_grace_period_seconds = Some(grace);
                    Input::Spec(Arc::new(pod))
                }
                Happening::Gone => {
                    gone = true;
                    Input::Gone
                }
            };
            finished = feed(&mut play.model, &mut play.machine, input, now);
        }
        // From any state: once the pod is gone from the API and actions succeed, everything ends.
        if !gone {
            finished = feed(&mut play.model, &mut play.machine, Input::Gone, now);
        }
        for _ in 0..200 {
            if finished {
                break;
            }
            let input = if play.model.pending.is_empty() {
                now += 130;
                Input::Tick
            } else {
                let action = play.model.pending.remove(0);
                play.model.answer(action, true, at(now))
            };
            finished = feed(&mut play.model, &mut play.machine, input, now);
        }
        prop_assert!(finished, "not finished: {:?} {:?}", play.model.pending, play.machine);
        prop_assert!(play.model.seen.sandboxes.is_empty() && play.model.seen.containers.is_empty());
    }
}
