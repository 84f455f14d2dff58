//! Events: `events.k8s.io/v1` and the core group's `v1` name the same things differently.

use orc_core::Doc;
use orc_core::labels::FieldRequirement;

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

pub(super) fn to_core(mut doc: Doc) -> Doc {
    for (new, core) in NAMES {
        rename(&mut doc, new, core);
    }
    doc.set(&["apiVersion"], "v1");
    doc
}

pub(super) fn from_core(mut doc: Doc) -> Doc {
    for (new, core) in NAMES {
        rename(&mut doc, core, new);
    }
    doc.set(&["apiVersion"], "events.k8s.io/v1");
    doc
}

fn rename(doc: &mut Doc, from: &str, to: &str) {
    if let Some(value) = doc.map_mut().remove(from) {
        doc.map_mut().insert(to.to_owned(), value);
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
        let doc = Doc::from_value(new.clone()).unwrap();
        let core = to_core(doc);
        assert_eq!(core.str_at(&["message"]), Some("hello"));
        assert_eq!(core.str_at(&["involvedObject", "kind"]), Some("Pod"));
        assert_eq!(from_core(core).into_value(), new);
    }
}
