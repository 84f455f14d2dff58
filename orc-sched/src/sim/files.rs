//! Workload files of scheduler benchmarks, and recorded clusters.

mod pods;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use orc_core::{Name, ObjectKey, ResourceId};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::input::{InputError, read};
use super::workload::{Act, Job, Workload};
use crate::facts::{self, Fact, FactKey};
use crate::node::NodeInfo;
use crate::pod::PodInfo;

/// Nodes, pods on them, and what happens.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// The nodes.
    pub nodes: Vec<Arc<NodeInfo>>,
    /// Pods that have a node.
    pub placed: Vec<Arc<PodInfo>>,
    /// What happens.
    pub workload: Workload,
}

/// Reads a workload file: `createNodes`, `createPods`, `createPodSets`, `deletePods`, `createNamespaces`, `churn`, `sleep`,
/// `barrier`. Pods come a thousand a second; a churn lasts until the last of them. Deciding takes no time, so a barrier waits for
/// nothing.
///
/// # Errors
/// What is wrong, with the file and the field.
pub fn workload(file: &Path) -> Result<Recorded, InputError> {
    let value = parse(file)?;
    let ops = value["ops"].as_array().ok_or_else(|| wrong(file, "ops", "Required value: a list of operations"))?;
    let mut state = State::of(file);
    for (at, op) in ops.iter().enumerate() {
        state.op(op, &format!("ops[{at}]"))?;
    }
    let end = state.recorded.workload.end();
    for (start, churn, path) in std::mem::take(&mut state.churns) {
        state.churn(start, end, &churn, &path)?;
    }
    Ok(state.recorded)
}

/// Reads what `kubectl get nodes,pods -A -o json` printed: pods with a node are on it, the others come at once.
///
/// # Errors
/// What is wrong, with the file and the field.
pub fn cluster(file: &Path) -> Result<Recorded, InputError> {
    let value = parse(file)?;
    let items = value["items"].as_array().ok_or_else(|| wrong(file, "items", "Required value: a List of objects"))?;
    let mut recorded = Recorded::default();
    for (at, item) in items.iter().enumerate() {
        let path = format!("items[{at}]");
        match item["kind"].as_str() {
            Some("Node") => recorded.nodes.push(Arc::new(NodeInfo::of(&typed::<Node>(file, &path, item)?))),
            Some("Pod") => {
                let pod = Arc::new(PodInfo::of(&typed::<Pod>(file, &path, item)?));
                match pod.node.is_some() {
                    _ if pod.ended => {}
                    true => recorded.placed.push(pod),
                    false => recorded.workload.acts.push((0, Act::Pod(Job { pod, runs: None }))),
                }
            }
            other => {
                let reason = format!("Unsupported value: {other:?}: supported values: \"Node\", \"Pod\"");
                return Err(wrong(file, &format!("{path}.kind"), &reason));
            }
        }
    }
    Ok(recorded)
}

struct State<'a> {
    file: &'a Path,
    now: u64,
    nodes: usize,
    pods: usize,
    recorded: Recorded,
    churns: Vec<(u64, Value, String)>,
    /// The pods that are deleted.
    deleted: BTreeSet<Name>,
}

impl<'a> State<'a> {
    fn of(file: &'a Path) -> Self {
        let recorded = Recorded::default();
        Self { file, now: 0, nodes: 0, pods: 0, recorded, churns: Vec::new(), deleted: BTreeSet::new() }
    }
}

impl State<'_> {
    fn op(&mut self, op: &Value, path: &str) -> Result<(), InputError> {
        match op["op"].as_str() {
            Some("createNodes") => self.create_nodes(op, path),
            Some("createPods") => self.create_pods(op, path),
            Some("createPodSets") => self.create_pod_sets(op, path),
            Some("deletePods") => self.delete_pods(op, path),
            Some("createNamespaces") => self.create_namespaces(op, path),
            Some("churn") => {
                self.churns.push((self.now, op.clone(), path.to_owned()));
                Ok(())
            }
            Some("sleep") => {
                self.now += self.number(op, path, "durationMilliseconds")?;
                Ok(())
            }
            Some("barrier") => Ok(()),
            other => {
                let known =
                    "createNodes, createPods, createPodSets, deletePods, createNamespaces, churn, sleep, barrier";
                let reason = format!("Unsupported value: {other:?}: supported values: {known}");
                Err(wrong(self.file, &format!("{path}.op"), &reason))
            }
        }
    }

    fn number(&self, op: &Value, path: &str, field: &str) -> Result<u64, InputError> {
        let reason = format!("Invalid value: {}: must be a non-negative number", op[field]);
        op[field].as_u64().ok_or_else(|| wrong(self.file, &format!("{path}.{field}"), &reason))
    }

    fn text<'o>(&self, op: &'o Value, path: &str, field: &str) -> Result<&'o str, InputError> {
        op[field].as_str().ok_or_else(|| wrong(self.file, &format!("{path}.{field}"), "Required value"))
    }

    fn create_nodes(&mut self, op: &Value, path: &str) -> Result<(), InputError> {
        let label = &op["nodeLabel"];
        let values: Vec<&str> = label["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for number in 0..self.number(op, path, "count")? {
            let mut node = self.node(&op["node"], &format!("{path}.node"))?;
            if let (Some(key), Some(count @ 1..)) = (label["key"].as_str(), Some(values.len())) {
                let value = values[usize::try_from(number).unwrap_or_default() % count];
                node.labels.insert(key.to_owned(), value.to_owned());
            }
            match self.now {
                0 => self.recorded.nodes.push(Arc::new(node)),
                now => self.recorded.workload.acts.push((now, Act::Node(Arc::new(node)))),
            }
        }
        Ok(())
    }

    /// A node named by its prefix and a number, whose whole capacity may be allocated where it does not say.
    fn node(&mut self, template: &Value, path: &str) -> Result<NodeInfo, InputError> {
        let mut node: Node = typed(self.file, path, template)?;
        let prefix = node.metadata.generate_name.take().unwrap_or_else(|| "node-".to_owned());
        let name = node.metadata.name.take().unwrap_or_else(|| format!("{prefix}{}", self.nodes));
        self.nodes += 1;
        node.metadata.labels.get_or_insert_default().insert("kubernetes.io/hostname".to_owned(), name.clone());
        node.metadata.name = Some(name);
        if let Some(status) = &mut node.status {
            status.allocatable = status.allocatable.take().or_else(|| status.capacity.clone());
        }
        Ok(NodeInfo::of(&node))
    }

    fn create_namespaces(&mut self, op: &Value, path: &str) -> Result<(), InputError> {
        let prefix = self.text(op, path, "prefix")?;
        for number in 0..self.number(op, path, "count")? {
            let name = format!("{prefix}-{number}");
            let object = json!({"metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}}});
            let key = ObjectKey::cluster(ResourceId::parse("namespaces"), name);
            let (key, fact) = self.fact(&key, &object, path)?;
            self.recorded.workload.acts.push((self.now, Act::Fact(key, fact)));
        }
        Ok(())
    }

    fn fact(&self, key: &ObjectKey, object: &Value, path: &str) -> Result<(FactKey, Arc<Fact>), InputError> {
        let found = facts::of(key, object).map_err(|error| wrong(self.file, path, &error.to_string()))?;
        found.ok_or_else(|| wrong(self.file, path, "scheduling does not read this kind"))
    }

    /// Objects that come every so often. In mode `recreate` only the last `number` rounds of them stay; in mode `create` there
    /// are `number` rounds, and without one they come to the end.
    fn churn(&mut self, start: u64, end: u64, op: &Value, path: &str) -> Result<(), InputError> {
        let every = self.number(op, path, "intervalMilliseconds")?.max(1);
        let (keep, rounds) = match op["mode"].as_str() {
            Some("create") if op["number"].is_null() => (None, usize::MAX),
            Some("create") => (None, usize::try_from(self.number(op, path, "number")?).unwrap_or(usize::MAX)),
            Some("recreate") => (Some(self.number(op, path, "number")?.max(1)), usize::MAX),
            other => {
                let reason = format!("Unsupported value: {other:?}: supported values: \"create\", \"recreate\"");
                return Err(wrong(self.file, &format!("{path}.mode"), &reason));
            }
        };
        let times = (start..=end).step_by(usize::try_from(every).unwrap_or(usize::MAX)).take(rounds);
        for (round, at) in times.enumerate() {
            for (number, object) in op["objects"].as_array().into_iter().flatten().enumerate() {
                let gone = keep.map(|keep| at + keep * every);
                self.churned(at, gone, object, &format!("{path}.objects[{number}]"), round)?;
            }
        }
        Ok(())
    }

    fn churned(
        &mut self,
        at: u64,
        gone: Option<u64>,
        object: &Value,
        path: &str,
        round: usize,
    ) -> Result<(), InputError> {
        let (come, go) = match object["kind"].as_str() {
            Some("Node") => {
                let node = self.node(object, path)?;
                let name = node.name.clone();
                (Act::Node(Arc::new(node)), Act::NodeGone(name))
            }
            Some("Pod") => {
                let like = self.pod(object, "default", path)?;
                let pod = self.numbered(&like);
                let uid = pod.uid.clone();
                (Act::Pod(Job { pod, runs: None }), Act::PodGone(uid))
            }
            Some("Service") => {
                let prefix = object["metadata"]["generateName"].as_str().unwrap_or("service-");
                let key = ObjectKey::namespaced(ResourceId::parse("services"), "default", format!("{prefix}{round}"));
                let (key, fact) = self.fact(&key, object, path)?;
                (Act::Fact(key.clone(), fact), Act::FactGone(key))
            }
            other => {
                let reason = format!("Unsupported value: {other:?}: supported values: \"Node\", \"Pod\", \"Service\"");
                return Err(wrong(self.file, &format!("{path}.kind"), &reason));
            }
        };
        let acts = &mut self.recorded.workload.acts;
        acts.push((at, come));
        acts.extend(gone.map(|gone| (gone, go)));
        Ok(())
    }
}

fn parse(file: &Path) -> Result<Value, InputError> {
    let text = read(file)?;
    serde_json::from_str(&text)
        .map_err(|error| InputError { line: Some(error.line()), ..InputError::whole(file, error) })
}

fn typed<K: DeserializeOwned>(file: &Path, path: &str, value: &Value) -> Result<K, InputError> {
    serde_json::from_value(value.clone()).map_err(|error| wrong(file, path, &error.to_string()))
}

fn wrong(file: &Path, field: &str, reason: &str) -> InputError {
    InputError { field: Some(field.to_owned()), ..InputError::whole(file, reason) }
}
