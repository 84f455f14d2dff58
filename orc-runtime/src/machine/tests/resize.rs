//! In-place resize.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::*;

/// Asks for other resources.
fn ask_for(play: &mut Play, generation: i64, cpu: &str) {
    let mut pod = Pod::clone(play.machine.pod());
    pod.metadata.generation = Some(generation);
    let resources = json!({"requests": {"cpu": cpu}, "limits": {"memory": "1Gi"}});
    pod.spec.as_mut().unwrap().containers[0].resources = Some(serde_json::from_value(resources).unwrap());
    play.input(Input::Spec(Arc::new(pod)));
}

fn sized(policy: &str) -> Play {
    let resources = json!({"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}});
    let policy = json!([{"resourceName": "cpu", "restartPolicy": policy}]);
    let mut play = Play::new(pod(json!({"containers": [
        {"name": "web", "image": "i", "resources": resources, "resizePolicy": policy}]})));
    play.told();
    play
}

/// What the status says: CPU that is promised, CPU that the container has, and the conditions of the resize.
fn sizes(play: &Play) -> (String, String, Vec<String>) {
    let status = play.machine.status();
    let web = status.container_statuses.as_ref().unwrap()[0].clone();
    let told = status.conditions.iter().flatten().filter(|condition| condition.type_.starts_with("PodResize"));
    let told = told.map(|one| format!("{} {}", one.type_, one.reason.clone().unwrap_or_default()).trim().to_owned());
    let cpu = |all: Option<BTreeMap<String, Quantity>>| all.unwrap()["cpu"].0.clone();
    (cpu(web.allocated_resources), cpu(web.resources.unwrap().requests), told.collect())
}

fn are(promised: &str, has: &str, conditions: &[&str]) -> (String, String, Vec<String>) {
    (promised.to_owned(), has.to_owned(), conditions.iter().map(|one| (*one).to_owned()).collect())
}

#[test]
fn a_resize_waits_for_room_and_is_done_without_a_restart() {
    let mut play = sized("NotRequired");
    ask_for(&mut play, 2, "2");
    assert!(play.machine.wants_resize().is_some());
    assert_eq!((play.told(), sizes(&play)), (vec![], are("1", "1", &[])));
    play.input(Input::Room(Room::Deferred("full".into())));
    play.input(Input::Room(Room::Deferred("full".into())));
    assert_eq!(play.told(), ["ResizeDeferred! Pod resize deferred: full"], "told of once");
    assert_eq!(sizes(&play), are("1", "1", &["PodResizePending Deferred"]));
    play.input(Input::Room(Room::Fits));
    assert_eq!(
        play.told(),
        [
            "ResizeStarted! Pod resize started: generation 2",
            "Resize web 2",
            "ResizeCompleted! Pod resize completed: generation 2"
        ]
    );
    assert_eq!(sizes(&play), are("2", "2", &[]));
    assert!(play.machine.wants_resize().is_none());
    // The next agent goes on from the status.
    let mut pod = Pod::clone(play.machine.pod());
    pod.status = Some((**play.machine.status()).clone());
    let again = Machine::new(Arc::new(pod), play.machine.config.clone(), at(9));
    assert!(again.wants_resize().is_none());
    // Back to what it has: nothing waits any more.
    ask_for(&mut play, 3, "64");
    play.input(Input::Room(Room::Infeasible("too much".into())));
    assert_eq!(sizes(&play), are("2", "2", &["PodResizePending Infeasible"]));
    ask_for(&mut play, 4, "2");
    assert_eq!(sizes(&play), are("2", "2", &[]));
}

#[test]
fn a_resize_restarts_where_the_policy_says_so() {
    let mut play = sized("RestartContainer");
    ask_for(&mut play, 2, "2");
    play.input(Input::Room(Room::Fits));
    let told = play.told();
    assert_eq!(told[1], "Killing! Container web resize requires restart", "{told:?}");
    assert!(
        told.contains(&"Start web 1".to_owned()) && !told.iter().any(|one| one.starts_with("Resize web")),
        "{told:?}"
    );
    assert_eq!(sizes(&play), are("2", "2", &[]));
}

#[test]
fn a_resize_that_fails_is_tried_again_and_one_that_cannot_be_is_given_up() {
    for (reason, waits, conditions) in
        [("ResizeError", false, "PodResizeInProgress Error"), (UNSUPPORTED, true, "PodResizePending Infeasible")]
    {
        let mut play = sized("NotRequired");
        ask_for(&mut play, 2, "2");
        let step = play.machine.step(Input::Room(Room::Fits), at(1));
        let [action] = &step.actions[..] else { panic!("{:?}", step.actions) };
        let failed = Err(Failure::new(reason, "no"));
        let step = play.machine.step(Input::Done(action.clone(), failed, Some(play.model.seen.clone())), at(2));
        assert!(step.events.iter().any(|event| event.reason == "ResizeError"), "{reason}");
        assert_eq!((sizes(&play).1, sizes(&play).2), ("1".to_owned(), vec![conditions.to_owned()]), "{reason}");
        assert_eq!(play.machine.wants_resize().is_some(), waits, "{reason}");
        play.now = 60;
        play.pass(0);
        let again = play.told().contains(&"Resize web 2".to_owned());
        assert_eq!(again, !waits, "{reason}");
    }
}
