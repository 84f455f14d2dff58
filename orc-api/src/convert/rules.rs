//! The rules of a kind on objects of a version that is not the stored one: each rule sees the object as it is stored, as
//! Kubernetes' rules see the internal form whatever the client speaks.

use orc_core::validation::FieldErrors;
use serde_json::Value;

use super::autoscaling::{from_v2, to_v2};
use crate::kinds::tree::{ensure, put_default};
use crate::kinds::{Strategy, strategy};

/// The rules of `autoscaling/v1`.
pub(super) static AUTOSCALER_V1: AutoscalerV1 = AutoscalerV1;

pub(super) struct AutoscalerV1;

fn stored() -> &'static dyn Strategy {
    strategy("horizontalpodautoscalers.autoscaling")
}

fn through(object: &mut Value, change: impl FnOnce(&mut Value)) {
    let mut other = to_v2(object.take());
    change(&mut other);
    *object = from_v2(other);
}

impl Strategy for AutoscalerV1 {
    fn default(&self, object: &mut Value) {
        put_default(ensure(object, "spec"), "minReplicas", 1);
        // The conversion says what the CPU's share is where no metric is given.
        through(object, |_| {});
    }

    fn prepare_create(&self, object: &mut Value) {
        through(object, |object| stored().prepare_create(object));
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, sub: Option<&str>) {
        let old = to_v2(old.clone());
        through(new, |new| stored().prepare_update(new, &old, sub));
    }

    fn validate_create(&self, object: &Value) -> FieldErrors {
        stored().validate_create(&to_v2(object.clone()))
    }

    fn validate_update(&self, new: &Value, old: &Value, sub: Option<&str>) -> FieldErrors {
        stored().validate_update(&to_v2(new.clone()), &to_v2(old.clone()), sub)
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        stored().warnings(&to_v2(new.clone()), old.map(|old| to_v2(old.clone())).as_ref())
    }

    fn generation(&self) -> bool {
        stored().generation()
    }

    fn status(&self) -> bool {
        stored().status()
    }
}
