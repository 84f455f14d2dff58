//! Bodies of the objects that a workload makes.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::workload::{Operation, Workload};

/// Stands for the name; no object has it otherwise.
const NAME: &str = "\u{1}name\u{1}";

/// An object as a text with a gap for its name.
pub(crate) struct Template {
    parts: Vec<String>,
    prefix: String,
}

impl Template {
    /// The template of pods.
    pub(crate) fn pod(pod: &Value) -> Self {
        let mut pod = pod.clone();
        with_class(&mut pod);
        Self::of(pod, "v1", "Pod")
    }

    /// The template of nodes. Their names are their host names, so that anti-affinity can tell them apart.
    pub(crate) fn node(node: &Value, label: Option<(&str, &str)>) -> Self {
        let mut node = node.clone();
        node["metadata"]["labels"]["kubernetes.io/hostname"] = json!(NAME);
        if let Some((key, value)) = label {
            node["metadata"]["labels"][key] = json!(value);
        }
        Self::of(node, "v1", "Node")
    }

    /// The template of an object of the core group.
    pub(crate) fn of(mut object: Value, version: &str, kind: &str) -> Self {
        let meta = &mut object["metadata"];
        let prefix = meta["generateName"].as_str().or(meta["name"].as_str()).unwrap_or("object-").to_owned();
        meta["name"] = json!(NAME);
        (object["apiVersion"], object["kind"]) = (json!(version), json!(kind));
        let (text, gap) = (object.to_string(), json!(NAME).to_string());
        Self { parts: text.split(&gap).map(str::to_owned).collect(), prefix }
    }

    /// What names begin with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The body of an object.
    pub(crate) fn body(&self, name: &str) -> Bytes {
        self.parts.join(&format!("\"{name}\"")).into()
    }
}

/// Pods may not choose a number as their priority; the class of that number they may.
fn with_class(pod: &mut Value) {
    let Some(spec) = pod["spec"].as_object_mut() else { return };
    if let Some(priority) = spec.remove("priority").and_then(|priority| priority.as_i64()) {
        spec.insert("priorityClassName".to_owned(), json!(class(priority)));
    }
}

fn class(priority: i64) -> String {
    format!("priority-{priority}").replace("--", "-minus-")
}

/// The priority classes that the pods of a workload need.
pub(crate) fn classes(workload: &Workload) -> Vec<Bytes> {
    let mut priorities = BTreeSet::new();
    for operation in &workload.operations {
        priorities.extend(operation.pods().and_then(|pods| pods.pod["spec"]["priority"].as_i64()));
        if let Operation::Churn(churn) = operation {
            priorities.extend(churn.objects.iter().filter_map(|object| object["spec"]["priority"].as_i64()));
        }
    }
    let object = |priority: i64| {
        let (version, kind) = ("scheduling.k8s.io/v1", "PriorityClass");
        json!({"apiVersion": version, "kind": kind, "metadata": {"name": class(priority)}, "value": priority})
            .to_string()
    };
    priorities.into_iter().map(|priority| object(priority).into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_filled_with_names() {
        let node = json!({"metadata": {"generateName": "n-"}, "status": {"capacity": {"cpu": "4"}}});
        let template = Template::node(&node, Some(("zone", "z")));
        let made: Value = serde_json::from_slice(&template.body("n-7")).unwrap();
        assert_eq!(made["metadata"]["name"], "n-7");
        assert_eq!(made["metadata"]["labels"], json!({"kubernetes.io/hostname": "n-7", "zone": "z"}));
        assert_eq!((template.prefix(), &made["status"]["capacity"]["cpu"]), ("n-", &json!("4")));
    }

    #[test]
    fn priorities_become_classes() {
        let pod = json!({"metadata": {"name": "p-"}, "spec": {"priority": -5}});
        let made: Value = serde_json::from_slice(&Template::pod(&pod).body("p-0")).unwrap();
        assert_eq!(made["spec"], json!({"priorityClassName": "priority-minus-5"}));
    }
}
