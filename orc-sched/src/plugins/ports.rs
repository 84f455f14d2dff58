//! Host ports.

use crate::plugin::{Fragment, Hint, Plugin, Prepared, Touched, state};
use crate::pod::{HostPort, PodInfo};
use crate::reasons::Reasons;
use crate::set::NodeSet;
use crate::view::{Change, ChangeKind, View};

/// Refuses nodes where a host port that the pod asks for is taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodePorts;

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }

    fn fragment(&self, _: &View, pod: &PodInfo, out: &mut Fragment) {
        out.number(i64::try_from(pod.ports.len()).unwrap_or(i64::MAX));
        for port in &pod.ports {
            out.number(port.port.into());
            out.text(&port.protocol);
            out.text(&port.ip);
        }
    }

    fn prepare(&self, _: &View, pod: &PodInfo) -> Prepared {
        Box::new(pod.ports.clone())
    }

    fn concerned(&self, prepared: &Prepared) -> bool {
        !state::<Vec<HostPort>>(prepared).is_empty()
    }

    fn filter(&self, prepared: &Prepared, view: &View, nodes: &mut NodeSet, why: &mut Reasons) {
        let wanted = state::<Vec<HostPort>>(prepared);
        nodes.retain(|slot| {
            let fits = !view.columns().ports(slot).any(|taken| wanted.iter().any(|port| port.conflicts(taken)));
            if !fits {
                why.refuse(slot, self.name(), "node(s) didn't have free ports for the requested pod ports", true);
            }
            fits
        });
    }

    fn touched(&self, _: &mut Prepared, _: &View, change: &Change) -> Touched {
        match &change.kind {
            ChangeKind::Pod { pod, .. } if !pod.ports.is_empty() => Touched::Node,
            _ => Touched::None,
        }
    }

    fn local(&self) -> bool {
        true
    }

    fn helped_by(&self, hint: Hint) -> bool {
        matches!(hint, Hint::NodeAdded | Hint::PodLeft)
    }
}
