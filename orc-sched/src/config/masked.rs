//! A plugin of which only the scores are wanted.

use std::sync::Arc;

use orc_core::Name;

use crate::plugin::{Classes, Fragment, Hint, Normal, Plugin, Prepared, Refusal, Touched};
use crate::pod::PodInfo;
use crate::set::NodeSet;
use crate::view::{Change, View};

/// Scores as another plugin does and refuses nothing.
pub(super) struct ScoresOnly(pub(super) Arc<dyn Plugin>);

impl Plugin for ScoresOnly {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn fragment(&self, view: &View, pod: &PodInfo, out: &mut Fragment) {
        self.0.fragment(view, pod, out);
    }

    fn topology_keys(&self) -> Vec<Name> {
        self.0.topology_keys()
    }

    fn prepare(&self, view: &View, pod: &PodInfo) -> Prepared {
        self.0.prepare(view, pod)
    }

    fn concerned(&self, prepared: &Prepared) -> bool {
        self.0.concerned(prepared)
    }

    fn normal(&self, prepared: &Prepared) -> Option<Normal> {
        self.0.normal(prepared)
    }

    fn score(&self, prepared: &Prepared, view: &View, nodes: &NodeSet, out: &mut [i64]) {
        self.0.score(prepared, view, nodes, out);
    }

    fn touched(&self, prepared: &mut Prepared, view: &View, change: &Change) -> Touched {
        self.0.touched(prepared, view, change)
    }

    fn classes(&self, prepared: &Prepared) -> Option<&dyn Classes> {
        self.0.classes(prepared).map(|_| self as &dyn Classes)
    }

    fn settle(&self, view: &View, pod: &PodInfo, slot: usize) -> Option<PodInfo> {
        self.0.settle(view, pod, slot)
    }

    fn local(&self) -> bool {
        self.0.local()
    }

    fn helped_by(&self, _: Hint) -> bool {
        false
    }
}

impl Classes for ScoresOnly {
    fn classify(&self, prepared: &mut Prepared, view: &View, nodes: &NodeSet, out: &mut [i64]) {
        if let Some(classes) = self.0.classes(prepared) {
            classes.classify(prepared, view, nodes, out);
        }
    }

    fn judge(&self, _: &Prepared, _: i64) -> Option<Refusal> {
        None
    }

    fn weigh(&self, prepared: &Prepared, classes: &[(i64, usize)], out: &mut [i64]) {
        if let Some(inner) = self.0.classes(prepared) {
            inner.weigh(prepared, classes, out);
        }
    }
}
