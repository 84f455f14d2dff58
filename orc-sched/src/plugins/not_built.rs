//! Pods with demands that no plugin decides yet wait, and say so, instead of being placed as if they had none.

use crate::plugin::{Fragment, Hint, Plugin, Prepared, Touched, state};
use crate::pod::PodInfo;
use crate::reasons::Reasons;
use crate::set::NodeSet;
use crate::view::{Change, View};

/// Refuses every node to a pod whose hard demands are not understood. It goes with the last of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct NotBuilt;

impl Plugin for NotBuilt {
    fn name(&self) -> &'static str {
        "NotBuilt"
    }

    fn fragment(&self, pod: &PodInfo, out: &mut Fragment) {
        out.text(pod.unmet.unwrap_or_default());
    }

    fn prepare(&self, _: &View, pod: &PodInfo) -> Prepared {
        Box::new(pod.unmet)
    }

    fn filter(&self, prepared: &Prepared, _: &View, nodes: &mut NodeSet, why: &mut Reasons) {
        let Some(text) = state::<Option<&'static str>>(prepared) else { return };
        nodes.retain(|slot| {
            why.refuse(slot, self.name(), text, false);
            false
        });
    }

    fn touched(&self, _: &mut Prepared, _: &Change) -> Touched {
        Touched::None
    }

    fn helped_by(&self, _: Hint) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use crate::pod::PodInfo;

    #[test]
    fn demands_are_told_and_preferences_are_not() {
        let of = |spec: serde_json::Value| {
            let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "a"}, "spec": spec})).unwrap();
            PodInfo::of(&pod).unmet
        };
        let term = json!([{"topologyKey": "kubernetes.io/hostname"}]);
        let required = json!({"containers": [], "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term}}});
        assert!(of(required).unwrap().contains("anti-affinity"));
        let soft = json!({"containers": [], "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}]});
        assert_eq!(of(soft), None);
        let claim = json!({"containers": [], "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]});
        assert!(of(claim).unwrap().contains("claims"));
    }
}
