use super::*;
use crate::plugin::Hint;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000 + second).unwrap()
}

fn pod(name: &str, priority: i32) -> Arc<PodInfo> {
    let value = serde_json::json!({"metadata": {"name": name, "namespace": "d", "uid": name}, "spec": {"containers": [], "priority": priority}});
    Arc::new(PodInfo::of(&serde_json::from_value(value).unwrap()))
}

fn popped(queue: &mut PodQueue, second: i64) -> Option<String> {
    queue.pop(at(second)).map(|pod| pod.uid.to_string())
}

fn hints(hints: &[Hint]) -> BTreeSet<Hint> {
    hints.iter().copied().collect()
}

#[test]
fn priority_then_time_then_arrival() {
    let mut queue = PodQueue::new(Timing::default());
    for (name, priority, second) in [("late", 0, 2), ("early", 0, 1), ("same", 0, 1), ("urgent", 5, 3)] {
        queue.put(pod(name, priority), at(second));
    }
    let order: Vec<_> = std::iter::from_fn(|| popped(&mut queue, 4)).collect();
    assert_eq!(order, ["urgent", "early", "same", "late"]);
}

#[test]
fn failures_back_off_and_double() {
    let mut queue = PodQueue::new(Timing::default());
    queue.put(pod("a", 0), at(0));
    let mut now = 0;
    for wait in [1, 2, 4, 8, 10, 10] {
        assert_eq!(popped(&mut queue, now).as_deref(), Some("a"));
        queue.back_off(&"a".into(), at(now));
        assert_eq!(queue.next_due(), Some(at(now + wait)));
        assert_eq!(popped(&mut queue, now + wait - 1), None);
        now += wait;
    }
}

#[test]
fn only_helpful_events_wake_a_parked_pod() {
    let mut queue = PodQueue::new(Timing::default());
    let helps = |plugin: &str, hint| (plugin, hint) == ("Fit", Hint::PodLeft);
    for (name, plugins) in
        [("fit", vec!["Fit"]), ("taint", vec!["Taint"]), ("both", vec!["Fit", "Taint"]), ("empty", vec![])]
    {
        queue.put(pod(name, 0), at(0));
        popped(&mut queue, 0).unwrap();
        queue.park(&name.into(), plugins, at(0));
    }
    queue.wake(&hints(&[Hint::NodeTaints]), at(5), helps);
    assert_eq!(queue.depths().parked, 4);
    queue.wake(&hints(&[Hint::PodLeft]), at(5), helps);
    assert_eq!((popped(&mut queue, 5).as_deref(), popped(&mut queue, 5).as_deref()), (Some("both"), Some("fit")));
    queue.wake(&hints(&[Hint::NodeAdded]), at(5), helps);
    assert_eq!(popped(&mut queue, 5).as_deref(), Some("empty"));
    queue.flush(at(299));
    assert_eq!(queue.depths().parked, 1);
    queue.flush(at(300));
    assert_eq!(popped(&mut queue, 300).as_deref(), Some("taint"));
}

#[test]
fn a_woken_pod_goes_before_its_time_only_when_nothing_else_is_ready() {
    let mut queue = PodQueue::new(Timing::default());
    queue.put(pod("a", 9), at(0));
    popped(&mut queue, 0).unwrap();
    queue.park(&"a".into(), vec!["Fit"], at(0));
    queue.put(pod("b", 0), at(0));
    queue.wake(&hints(&[Hint::PodLeft]), at(0), |_, _| true);
    assert_eq!(popped(&mut queue, 0).as_deref(), Some("b"), "a is still backing off");
    assert_eq!(popped(&mut queue, 0).as_deref(), Some("a"), "and there is nothing else to do");
    queue.back_off(&"a".into(), at(0));
    assert_eq!(popped(&mut queue, 0), None, "a failure of its own is waited out");
}

#[test]
fn a_parked_pod_is_tried_again_when_its_wish_changes() {
    let mut queue = PodQueue::new(Timing::default());
    queue.put(pod("a", 0), at(0));
    popped(&mut queue, 0).unwrap();
    queue.park(&"a".into(), vec!["Fit"], at(0));
    let waiting = Some(("Unschedulable".into(), "why".into()));
    queue.put(Arc::new(PodInfo { waiting, ..PodInfo::clone(&pod("a", 0)) }), at(5));
    assert_eq!(queue.depths().parked, 1);
    queue.put(pod("a", 7), at(5));
    assert_eq!(popped(&mut queue, 5).as_deref(), Some("a"));
    queue.remove(&"a".into());
    queue.park(&"a".into(), vec!["Fit"], at(5));
    assert_eq!((queue.depths(), queue.contains("a")), (Depths::default(), false));
}

#[test]
fn a_pod_that_met_no_node_is_tried_as_soon_as_there_is_one() {
    let mut queue = PodQueue::new(Timing::default());
    queue.put(pod("a", 0), at(0));
    assert_eq!(popped(&mut queue, 0).as_deref(), Some("a"));
    queue.park(&"a".into(), Vec::new(), at(0));
    queue.wake(&hints(&[Hint::NodeAdded]), at(0), |_, _| false);
    assert_eq!(popped(&mut queue, 0).as_deref(), Some("a"));
}
