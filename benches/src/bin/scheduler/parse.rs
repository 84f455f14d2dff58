//! Reads workload files: JSON or YAML, with the operations of Kubernetes' scheduler_perf and templates in place.
//!
//! A field or an operation that is not known is an error with file, line and field: a workload that is run in part measures
//! something else.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use orc_sched::sim::InputError;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::Spanned;

use crate::workload::{Churn, Operation, Pods, Workload};

const OPERATIONS: &str = "createNodes, createNamespaces, createPods, createPodSets, deletePods, churn, sleep, barrier";
const KINDS: [&str; 3] = ["Node", "Pod", "Service"];

/// Fields with the lines that their values begin on.
type Lined = BTreeMap<String, (Value, usize)>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    name: String,
    workload: String,
    kube_scheduler_threshold_pods_per_second: Option<f64>,
    #[serde(rename = "kubeScheduler136MeasuredPodsPerSecond")]
    reference: Option<f64>,
    ops: Vec<Spanned<BTreeMap<String, Spanned<Value>>>>,
}

/// Reads a file.
///
/// # Errors
/// The first thing that is wrong with it.
pub(crate) fn read(file: &Path) -> Result<Workload, InputError> {
    let text = std::fs::read_to_string(file).map_err(|error| InputError::whole(file, error))?;
    parse(file, &text)
}

fn parse(file: &Path, text: &str) -> Result<Workload, InputError> {
    let raw: File = serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().and_then(|location| usize::try_from(location.line()).ok());
        InputError { line, ..InputError::whole(file, error) }
    })?;
    let mut operations = Vec::new();
    for (at, op) in raw.ops.into_iter().enumerate() {
        let line = line(&op);
        let left = op.value.into_iter().map(|(name, value)| (name, lined(value))).collect();
        operations.push(Fields { file, path: format!("ops[{at}]"), line, left }.operation()?);
    }
    if !operations.iter().any(|op| op.pods().is_some_and(|pods| pods.measure)) {
        let reason = "Required value: one createPods must have \"measure\": true";
        return Err(InputError { field: Some("ops".to_owned()), ..InputError::whole(file, reason) });
    }
    Ok(Workload {
        name: raw.name,
        variant: raw.workload,
        threshold: raw.kube_scheduler_threshold_pods_per_second,
        reference: raw.reference,
        operations,
    })
}

fn line<T>(spanned: &Spanned<T>) -> usize {
    usize::try_from(spanned.referenced.line()).unwrap_or_default()
}

fn lined(value: Spanned<Value>) -> (Value, usize) {
    let line = line(&value);
    (value.value, line)
}

/// The fields of an operation that were not taken yet.
struct Fields<'a> {
    file: &'a Path,
    path: String,
    line: usize,
    left: Lined,
}

impl Fields<'_> {
    fn operation(mut self) -> Result<Operation, InputError> {
        let operation = match self.needed::<String>("op")?.as_str() {
            "createNodes" => Operation::CreateNodes {
                count: self.needed("count")?,
                node: self.object("node")?,
                label: self.node_label()?,
            },
            "createNamespaces" => {
                Operation::CreateNamespaces { count: self.needed("count")?, prefix: self.needed("prefix")? }
            }
            "createPods" => Operation::CreatePods(self.pods()?),
            "createPodSets" => self.pod_sets()?,
            "deletePods" => Operation::DeletePods {
                namespace: self.needed("namespace")?,
                labels: self.optional::<BTreeMap<_, _>>("labelSelector")?.unwrap_or_default().into_iter().collect(),
                rate: self.optional("deletePodsPerSecond")?,
                wait: !self.optional("skipWaitToCompletion")?.unwrap_or(false),
            },
            "churn" => Operation::Churn(self.churn()?),
            "sleep" => Operation::Sleep(Duration::from_millis(self.needed("durationMilliseconds")?)),
            "barrier" => Operation::Barrier { namespaces: self.optional("namespaces")?.unwrap_or_default() },
            other => {
                let reason = format!("Unsupported value: {other:?}: supported values: {OPERATIONS}");
                return Err(self.wrong("op", self.line, &reason));
            }
        };
        self.end()?;
        Ok(operation)
    }

    /// The rest is not known.
    fn end(self) -> Result<(), InputError> {
        match self.left.iter().next() {
            None => Ok(()),
            Some((name, (_, line))) => Err(self.wrong(name, *line, "unknown field of this operation")),
        }
    }

    fn pods(&mut self) -> Result<Pods, InputError> {
        Ok(Pods {
            count: self.needed("count")?,
            namespace: self.optional("namespace")?.unwrap_or_else(|| "default".to_owned()),
            pod: self.object("pod")?,
            measure: self.optional("measure")?.unwrap_or(false),
            wait: !self.optional("skipWaitToCompletion")?.unwrap_or(false),
        })
    }

    fn pod_sets(&mut self) -> Result<Operation, InputError> {
        let (count, prefix) = (self.needed("count")?, self.needed("namespacePrefix")?);
        let (Value::Object(inner), line) = self.take("createPodsOp")? else {
            return Err(self.wrong("createPodsOp", self.line, "Invalid value: must be an operation"));
        };
        let left =
            inner.into_iter().filter(|(name, _)| name != "op").map(|(name, value)| (name, (value, line))).collect();
        let mut fields = Fields { file: self.file, path: format!("{}.createPodsOp", self.path), line, left };
        let pods = fields.pods()?;
        fields.end()?;
        Ok(Operation::CreatePodSets { count, prefix, pods })
    }

    fn node_label(&mut self) -> Result<Option<(String, Vec<String>)>, InputError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Label {
            key: String,
            values: Vec<String>,
        }
        let label: Option<Label> = self.optional("nodeLabel")?;
        match label {
            Some(label) if label.values.is_empty() => {
                Err(self.wrong("nodeLabel.values", self.line, "Required value: at least one"))
            }
            label => Ok(label.map(|label| (label.key, label.values))),
        }
    }

    fn churn(&mut self) -> Result<Churn, InputError> {
        let number: Option<usize> = self.optional("number")?.filter(|number| *number > 0);
        let (mode, line) = self.take("mode")?;
        let (keep, rounds) = match (mode.as_str(), number) {
            (Some("create"), rounds) => (None, rounds),
            (Some("recreate"), keep @ Some(_)) => (keep, None),
            (Some("recreate"), None) => {
                return Err(self.wrong("number", self.line, "Required value: how many objects \"recreate\" keeps"));
            }
            _ => {
                let reason = format!("Unsupported value: {mode}: supported values: \"create\", \"recreate\"");
                return Err(self.wrong("mode", line, &reason));
            }
        };
        let every = Duration::from_millis(self.optional("intervalMilliseconds")?.unwrap_or(500).max(1));
        let (objects, line) = self.take("objects")?;
        let objects: Vec<Value> = self.typed("objects", objects, line)?;
        for (at, object) in objects.iter().enumerate() {
            if !object["kind"].as_str().is_some_and(|kind| KINDS.contains(&kind)) {
                let reason = format!("Unsupported value: {}: supported values: {}", object["kind"], KINDS.join(", "));
                return Err(self.wrong(&format!("objects[{at}].kind"), line, &reason));
            }
        }
        Ok(Churn { keep, rounds, every, objects })
    }

    fn object(&mut self, name: &str) -> Result<Value, InputError> {
        let (value, line) = self.take(name)?;
        let names = value["metadata"]["generateName"].as_str().or(value["metadata"]["name"].as_str());
        match (value.is_object(), names) {
            (true, Some(_)) => Ok(value),
            (true, None) => Err(self.wrong(&format!("{name}.metadata.generateName"), line, "Required value")),
            (false, _) => Err(self.wrong(name, line, "Invalid value: must be an object")),
        }
    }

    fn needed<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, InputError> {
        let (value, line) = self.take(name)?;
        self.typed(name, value, line)
    }

    fn optional<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, InputError> {
        let Some((value, line)) = self.left.remove(name) else { return Ok(None) };
        self.typed(name, value, line).map(Some)
    }

    fn take(&mut self, name: &str) -> Result<(Value, usize), InputError> {
        self.left.remove(name).ok_or_else(|| self.wrong(name, self.line, "Required value"))
    }

    fn typed<T: DeserializeOwned>(&self, name: &str, value: Value, line: usize) -> Result<T, InputError> {
        serde_json::from_value(value).map_err(|error| self.wrong(name, line, &format!("Invalid value: {error}")))
    }

    fn wrong(&self, field: &str, line: usize, reason: &str) -> InputError {
        let field = Some(format!("{}.{field}", self.path));
        InputError { line: Some(line).filter(|line| *line > 0), field, ..InputError::whole(self.file, reason) }
    }
}

#[cfg(test)]
mod tests;
