//! A model of a runtime, and a machine that is played against it.

use super::*;
use crate::runtime::SandboxState;

/// A runtime that does nothing by itself.
#[derive(Default)]
pub(super) struct Model {
    pub(super) seen: Observation,
    pub(super) pending: Vec<Action>,
}

impl Model {
    pub(super) fn live(&self) -> usize {
        self.seen.sandboxes.iter().filter(|sandbox| sandbox.state == SandboxState::Ready).count()
    }

    pub(super) fn runs(&self, name: &str) -> bool {
        self.seen.containers.iter().any(|c| c.name == name && c.state == ContainerState::Running)
    }

    pub(super) fn exit(&mut self, index: usize, code: i32, now: Timestamp) {
        let container = &mut self.seen.containers[index];
        container.state = ContainerState::Exited;
        container.exit_code = Some(code);
        container.finished_at = Some(now);
    }

    pub(super) fn lose_sandboxes(&mut self, now: Timestamp) {
        self.seen.sandboxes.iter_mut().for_each(|sandbox| sandbox.state = SandboxState::NotReady);
        for index in 0..self.seen.containers.len() {
            if self.seen.containers[index].state != ContainerState::Exited {
                self.exit(index, 137, now);
            }
        }
    }

    /// Carries an action out.
    pub(super) fn apply(&mut self, action: &Action, now: Timestamp) {
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

    pub(super) fn answer(&mut self, action: Action, good: bool, now: Timestamp) -> Input {
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

pub(super) fn short(action: &Action) -> String {
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
pub(super) struct Play {
    pub(super) machine: Machine,
    pub(super) model: Model,
    pub(super) now: i64,
    pub(super) said: Vec<String>,
}

impl Play {
    pub(super) fn new(pod: Pod) -> Self {
        let config = MachineConfig { scheme: "sim".into(), host_ips: vec!["192.0.2.1".parse().unwrap()] };
        let machine = Machine::new(Arc::new(pod), config, at(0));
        let mut play = Self { machine, model: Model::default(), now: 0, said: Vec::new() };
        play.input(Input::Observed(Observation::default()));
        play
    }

    pub(super) fn input(&mut self, input: Input) {
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
    pub(super) fn exit(&mut self, name: &str, code: i32, seconds: i64) {
        self.now += seconds;
        let running = |c: &ContainerStatus| c.name == name && c.state == ContainerState::Running;
        let index = self.model.seen.containers.iter().position(running).unwrap();
        self.model.exit(index, code, at(self.now));
        self.input(Input::Observed(self.model.seen.clone()));
    }

    pub(super) fn pass(&mut self, seconds: i64) {
        self.now += seconds;
        self.input(Input::Tick);
    }

    pub(super) fn delete(&mut self, grace: i64) {
        let mut pod = Pod::clone(self.machine.pod());
        pod.metadata.deletion_timestamp = Some(run::time(at(self.now + grace)));
        pod.metadata.deletion_grace_period_seconds = Some(grace);
        self.input(Input::Spec(Arc::new(pod)));
    }

    pub(super) fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.said)
    }

    pub(super) fn phase(&self) -> &str {
        self.machine.status().phase.as_deref().unwrap_or_default()
    }
}
