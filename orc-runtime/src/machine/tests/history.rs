//! Safety by random histories: whatever happens, nothing is done twice, and a stop is final.

use proptest::prelude::*;

use super::*;

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
                    pod.metadata.deletion_timestamp = Some(run::time(at(now + grace)));
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
