//! A workload: operations in their order, with everything that they need.

use std::time::Duration;

use serde_json::Value;

/// What a workload file says.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    /// The test case.
    pub(crate) name: String,
    /// The variant of it.
    pub(crate) variant: String,
    /// Pods a second below which Kubernetes' own run counts as a regression.
    pub(crate) threshold: Option<f64>,
    /// Pods a second that kube-scheduler 1.36 was measured at.
    pub(crate) reference: Option<f64>,
    /// What is done, one after the other.
    pub(crate) operations: Vec<Operation>,
}

/// One operation.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    /// Makes nodes; each takes the next of the label's values, in turn.
    CreateNodes { count: usize, node: Value, label: Option<(String, Vec<String>)> },
    /// Makes namespaces `PREFIX-0`, `PREFIX-1`, ...
    CreateNamespaces { count: usize, prefix: String },
    /// Makes pods in one namespace.
    CreatePods(Pods),
    /// Makes the same pods in each of the namespaces `PREFIX-0`, `PREFIX-1`, ...
    CreatePodSets { count: usize, prefix: String, pods: Pods },
    /// Deletes the pods of a namespace that have these labels, so many a second at most.
    DeletePods { namespace: String, labels: Vec<(String, String)>, rate: Option<u32>, wait: bool },
    /// Makes objects again and again beside what follows.
    Churn(Churn),
    /// Waits.
    Sleep(Duration),
    /// Waits until the pods of these namespaces, or of all, have a node.
    Barrier { namespaces: Vec<String> },
}

/// Pods that are made.
#[derive(Clone, Debug)]
pub(crate) struct Pods {
    pub(crate) count: usize,
    pub(crate) namespace: String,
    pub(crate) pod: Value,
    /// Whether this is what the workload is about.
    pub(crate) measure: bool,
    /// Whether what follows begins only once all of them have a node.
    pub(crate) wait: bool,
}

/// Objects that come all the time.
#[derive(Clone, Debug)]
pub(crate) struct Churn {
    /// How many rounds of objects are kept, `None` for all.
    pub(crate) keep: Option<usize>,
    /// How many rounds there are, `None` until the workload ends.
    pub(crate) rounds: Option<usize>,
    pub(crate) every: Duration,
    pub(crate) objects: Vec<Value>,
}

impl Operation {
    /// Which pods it makes.
    pub(crate) fn pods(&self) -> Option<&Pods> {
        match self {
            Self::CreatePods(pods) | Self::CreatePodSets { pods, .. } => Some(pods),
            _ => None,
        }
    }

    /// How many objects it makes.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::CreateNodes { count, .. } | Self::CreateNamespaces { count, .. } => *count,
            Self::CreatePods(pods) => pods.count,
            Self::CreatePodSets { count, pods, .. } => count * pods.count,
            Self::DeletePods { .. } | Self::Churn(_) | Self::Sleep(_) | Self::Barrier { .. } => 0,
        }
    }

    /// Its name in files.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::CreateNodes { .. } => "createNodes",
            Self::CreateNamespaces { .. } => "createNamespaces",
            Self::CreatePods(_) => "createPods",
            Self::CreatePodSets { .. } => "createPodSets",
            Self::DeletePods { .. } => "deletePods",
            Self::Churn(_) => "churn",
            Self::Sleep(_) => "sleep",
            Self::Barrier { .. } => "barrier",
        }
    }
}
