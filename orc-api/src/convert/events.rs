//! Events: `events.k8s.io/v1` and the core group's `v1` name the same things differently.

use orc_core::labels::FieldRequirement;
use serde_json::Value;

use crate::kinds::tree::put;

/// Field of `events.k8s.io/v1`, field of `v1`.
const NAMES: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

pub(super) fn to_core(mut event: Value) -> Value {
    for (new, core) in NAMES {
        rename(&mut event, new, core);
    }
    put(&mut event, "apiVersion", "v1");
    event
}

pub(super) fn from_core(mut event: Value) -> Value {
    for (new, core) in NAMES {
        rename(&mut event, core, new);
    }
    put(&mut event, "apiVersion", "events.k8s.io/v1");
    event
}

fn rename(event: &mut Value, from: &str, to: &str) {
    if let Some(map) = event.as_object_mut()
        && let Some(value) = map.remove(from)
    {
        map.insert(to.to_owned(), value);
    }
}

pub(super) fn field_to_core(mut requirement: FieldRequirement) -> FieldRequirement {
    if let Some(rest) = requirement.field.strip_prefix("regarding.") {
        requirement.field = format!("involvedObject.{rest}");
    } else if requirement.field == "reportingController" {
        requirement.field = "reportingComponent".to_owned();
    }
    requirement
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_convert_there_and_back() {
        let new = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"},
            "regarding": {"kind": "Pod"}, "note": "hello", "reportingController": "kubelet", "deprecatedCount": 2});
        let core = to_core(new.clone());
        assert_eq!(core["message"], "hello");
        assert_eq!(core["involvedObject"]["kind"], "Pod");
        assert_eq!(from_core(core), new);
    }
}
