//! The two tables of the trace.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod};
use orc_core::{Name, ObjectKey, ResourceId};

use crate::node::NodeInfo;
use crate::pod::{NodeRule, PodInfo, Requests};
use crate::policies::gpu::{self, Ask, GPU, MODEL, MOST, Typical, WHOLE};
use crate::sim::input::{InputError, Row, Rows, read};

/// One task of the trace.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its name.
    pub name: Name,
    /// What it asks for.
    pub ask: Ask,
    /// The types of GPU that will do; any when empty.
    pub models: Vec<String>,
    /// When it came, in seconds of the trace.
    pub created: Option<f64>,
    /// When it went.
    pub deleted: Option<f64>,
    /// The pod, but for name and uid; shared by tasks alike.
    like: Arc<PodInfo>,
}

impl Task {
    /// The task as a pod of its own.
    pub fn pod(&self, uid: &str) -> Arc<PodInfo> {
        let mut pod = PodInfo::clone(&self.like);
        pod.uid = uid.into();
        pod.key.name = pod.uid.clone();
        Arc::new(pod)
    }
}

/// Nodes and tasks.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The nodes, in the order of their table.
    pub nodes: Vec<Arc<NodeInfo>>,
    /// The tasks, in the order of theirs.
    pub tasks: Vec<Task>,
}

const MIB: i64 = 1 << 20;
/// How many pods a node takes: the trace says nothing of it, so that it must not matter.
const PODS: i64 = 1 << 20;

impl Trace {
    /// Reads the tables. Nodes have `sn,cpu_milli,memory_mib,gpu,model`; tasks have
    /// `name,cpu_milli,memory_mib,num_gpu,gpu_milli` and may have `gpu_spec,creation_time,deletion_time`.
    ///
    /// # Errors
    /// What is wrong, with file, line and field.
    pub fn read(nodes: &Path, tasks: &Path) -> Result<Self, InputError> {
        let (node_text, task_text) = (read(nodes)?, read(tasks)?);
        let node_rows = Rows::parse(nodes, &node_text, &["sn", "cpu_milli", "memory_mib", "gpu", "model"])?;
        let task_rows = Rows::parse(tasks, &task_text, &["name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli"])?;
        let mut seen = HashSet::new();
        let mut once = |row: &Row<'_>, field: &str| {
            let name = row.text(field).to_owned();
            match name.is_empty() || !seen.insert(name.clone()) {
                true => Err(row.error(field, format!("Duplicate or empty value: {name:?}"))),
                false => Ok(()),
            }
        };
        let nodes: Result<Vec<_>, _> = node_rows.iter().map(|row| once(&row, "sn").and_then(|()| node(&row))).collect();
        let mut alike = HashMap::new();
        let tasks = task_rows.iter().map(|row| once(&row, "name").and_then(|()| task(&row, &mut alike)));
        Ok(Self { nodes: nodes?, tasks: tasks.collect::<Result<_, _>>()? })
    }

    /// Thousandths of a GPU that all nodes have together.
    pub fn capacity(&self) -> i64 {
        self.nodes.iter().filter_map(|node| node.allocatable.get(GPU)).sum()
    }

    /// The pods that are expected, by the tasks.
    pub fn typical(&self) -> Typical {
        Typical::of(self.tasks.iter().map(|task| (&task.ask, &task.models[..])))
    }
}

fn node(row: &Row<'_>) -> Result<Arc<NodeInfo>, InputError> {
    let devices: usize = row.number("gpu")?;
    if devices > MOST {
        return Err(row.error("gpu", format!("Invalid value: {devices}: must be at most {MOST}")));
    }
    let memory: i64 = row.number("memory_mib")?;
    let mut allocatable: BTreeMap<Name, i64> = BTreeMap::from([
        ("cpu".into(), row.number("cpu_milli")?),
        ("memory".into(), memory.saturating_mul(MIB)),
        ("pods".into(), PODS),
        (GPU.into(), devices as i64 * WHOLE),
    ]);
    allocatable.extend((0..devices).map(|index| (gpu::device(index).clone(), WHOLE)));
    let labels = BTreeMap::from([(MODEL.to_owned(), row.text("model").to_owned())]);
    Ok(Arc::new(NodeInfo { name: row.text("sn").into(), labels, allocatable, ..NodeInfo::default() }))
}

type Alike = HashMap<(Ask, Vec<String>), Arc<PodInfo>>;

fn task(row: &Row<'_>, alike: &mut Alike) -> Result<Task, InputError> {
    let (count, each): (usize, i64) = (row.number("num_gpu")?, row.number("gpu_milli")?);
    if count > MOST {
        return Err(row.error("num_gpu", format!("Invalid value: {count}: must be at most {MOST}")));
    }
    if count > 0 && !(1..=WHOLE).contains(&each) || count > 1 && each != WHOLE {
        let reason = "must be from 1 to 1000, and 1000 for more than one GPU";
        return Err(row.error("gpu_milli", format!("Invalid value: {each}: {reason}")));
    }
    let memory: i64 = row.number("memory_mib")?;
    let requests = requests(row.number("cpu_milli")?, memory.saturating_mul(MIB), count as i64 * each);
    let models: Vec<String> = row.text("gpu_spec").split('|').filter(|m| !m.is_empty()).map(str::to_owned).collect();
    let mut like = PodInfo::of(&Pod::default());
    like.requests = requests;
    like.rule = rule(&models);
    like.key = ObjectKey::namespaced(ResourceId::new("", "pods"), "default", "");
    let ask = Ask::of(&like);
    let like = alike.entry((Ask { cpu: like.requests.cpu, ..ask.clone() }, models.clone())).or_insert(Arc::new(like));
    let (created, deleted) = (row.optional("creation_time")?, row.optional("deletion_time")?);
    if created.zip(deleted).is_some_and(|(created, deleted)| deleted < created) {
        return Err(row.error("deletion_time", "must not be before creation_time".to_owned()));
    }
    Ok(Task { name: row.text("name").into(), ask, models, created, deleted, like: like.clone() })
}

fn requests(cpu: i64, memory: i64, gpu: i64) -> Requests {
    let other = if gpu > 0 { vec![(GPU.into(), gpu)] } else { Vec::new() };
    Requests { cpu, memory, other, scored_cpu: cpu, scored_memory: memory, ..Requests::default() }
}

/// The demand for one of some types of GPU.
fn rule(models: &[String]) -> NodeRule {
    if models.is_empty() {
        return NodeRule::default();
    }
    let wanted =
        NodeSelectorRequirement { key: MODEL.to_owned(), operator: "In".to_owned(), values: Some(models.to_vec()) };
    let term = NodeSelectorTerm { match_expressions: Some(vec![wanted]), ..NodeSelectorTerm::default() };
    let required = NodeSelector { node_selector_terms: vec![term] };
    NodeRule::of_affinity(&NodeAffinity {
        required_during_scheduling_ignored_during_execution: Some(required),
        ..NodeAffinity::default()
    })
}
