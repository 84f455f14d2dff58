//! A state, made anew.

use std::sync::Arc;

use orc_sched::{Engine, Event, FactKind, NodeInfo};

use crate::script::profile;

/// An engine of the same state, by the same slots.
pub(crate) fn copy(engine: &Engine) -> Engine {
    let mut copy = Engine::new(vec![profile()]);
    let view = engine.view();
    // Free slots are made by nodes that come and go.
    let filler = |slot: usize| Arc::new(NodeInfo { name: format!("filler-{slot}").into(), ..NodeInfo::default() });
    for slot in 0..view.slot_count() {
        let node = view.node(slot).cloned().unwrap_or_else(|| filler(slot));
        copy.apply(&Event::Node(node));
    }
    for slot in (0..view.slot_count()).filter(|slot| view.node(*slot).is_none()) {
        copy.apply(&Event::NodeGone(format!("filler-{slot}").into()));
    }
    for placed in view.all_placed() {
        if placed.assumed {
            copy.assume(&placed.pod, &placed.node);
        } else {
            copy.apply(&Event::Pod(placed.pod.clone()));
        }
    }
    for kind in [FactKind::Namespace, FactKind::Service, FactKind::DeviceClaim, FactKind::Slice, FactKind::DeviceClass]
    {
        for (key, fact) in view.facts().all(kind) {
            copy.apply(&Event::Fact(key.clone(), Arc::new(fact.clone())));
        }
    }
    for nominated in view.nominations() {
        copy.nominate(&nominated.pod, &nominated.node);
    }
    copy
}
