//! Operations on pods.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use orc_core::Name;
use serde_json::Value;

use super::{InputError, State, typed, wrong};
use crate::pod::PodInfo;
use crate::sim::workload::{Act, Job};

/// Milliseconds between two pods of a `createPods`: a client creates some thousand a second.
const PACE: u64 = 1;

impl State<'_> {
    pub(super) fn create_pods(&mut self, op: &Value, path: &str) -> Result<(), InputError> {
        let namespace = op["namespace"].as_str().unwrap_or("default").to_owned();
        self.create_in(&namespace, op, path)
    }

    /// The same pods in each of the namespaces `PREFIX-0`, `PREFIX-1`, ...
    pub(super) fn create_pod_sets(&mut self, op: &Value, path: &str) -> Result<(), InputError> {
        let prefix = self.text(op, path, "namespacePrefix")?.to_owned();
        if !op["createPodsOp"].is_object() {
            return Err(wrong(self.file, &format!("{path}.createPodsOp"), "Required value: an operation"));
        }
        for number in 0..self.number(op, path, "count")? {
            self.create_in(&format!("{prefix}-{number}"), &op["createPodsOp"], &format!("{path}.createPodsOp"))?;
        }
        Ok(())
    }

    fn create_in(&mut self, namespace: &str, op: &Value, path: &str) -> Result<(), InputError> {
        let count = self.number(op, path, "count")?;
        let like = self.pod(&op["pod"], namespace, &format!("{path}.pod"))?;
        for _ in 0..count {
            let pod = self.numbered(&like);
            self.recorded.workload.acts.push((self.now, Act::Pod(Job { pod, runs: None })));
            self.now += PACE;
        }
        Ok(())
    }

    /// Deletes the pods that there are in a namespace with some labels: all at once, or so many a second. What follows comes
    /// after the last of them, unless it does not wait.
    pub(super) fn delete_pods(&mut self, op: &Value, path: &str) -> Result<(), InputError> {
        let namespace = self.text(op, path, "namespace")?;
        let labels: BTreeMap<String, String> = match &op["labelSelector"] {
            Value::Null => BTreeMap::new(),
            given => typed(self.file, &format!("{path}.labelSelector"), given)?,
        };
        let pace = match op.get("deletePodsPerSecond") {
            None => 0,
            Some(_) => 1000 / self.number(op, path, "deletePodsPerSecond")?.clamp(1, 1000),
        };
        let meant = |pod: &PodInfo| {
            pod.key.namespace_str() == namespace && labels.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
        };
        let found = self.recorded.workload.jobs().filter(|job| meant(&job.pod) && !self.deleted.contains(&job.pod.uid));
        let found: Vec<Name> = found.map(|job| job.pod.uid.clone()).collect();
        let mut at = self.now;
        for uid in found {
            self.recorded.workload.acts.push((at, Act::PodGone(uid.clone())));
            self.deleted.insert(uid);
            at += pace;
        }
        if op["skipWaitToCompletion"] != true {
            self.now = at;
        }
        Ok(())
    }

    pub(super) fn pod(&self, template: &Value, namespace: &str, path: &str) -> Result<PodInfo, InputError> {
        let mut pod: Pod = typed(self.file, path, template)?;
        let prefix = pod.metadata.generate_name.take().or(pod.metadata.name.take());
        pod.metadata.name = Some(prefix.unwrap_or_else(|| "pod-".to_owned()));
        pod.metadata.namespace.get_or_insert_with(|| namespace.to_owned());
        Ok(PodInfo::of(&pod))
    }

    pub(super) fn numbered(&mut self, like: &PodInfo) -> Arc<PodInfo> {
        let mut pod = like.clone();
        pod.key.name = Name::new(format!("{}{}", like.key.name, self.pods));
        pod.uid = Name::new(format!("uid-{}", self.pods));
        self.pods += 1;
        Arc::new(pod)
    }
}
