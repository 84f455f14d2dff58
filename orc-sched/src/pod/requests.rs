//! What a pod asks of a node: the sum that Kubernetes' `resource.PodRequests` makes.
//!
//! Containers and sidecars run together; init containers run one after another beside the sidecars started before them; the
//! pod needs the larger of the two, and its overhead on top. Requests of the pod as a whole replace the sum. While a resize is
//! under way, a container counts with the largest of what it wants, has and was promised.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Written;
use orc_core::Name;
use orc_core::quantity::Quantity;

/// What a container that asks for no CPU counts with when nodes are scored (100m), so that such pods spread too.
const UNSAID_CPU: i64 = 100;
/// What a container that asks for no memory counts with when nodes are scored (200 MiB).
const UNSAID_MEMORY: i64 = 200 * 1024 * 1024;

type Amounts = BTreeMap<String, i64>;

/// Amounts of resources: CPU in thousandths, everything else in whole units.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Requests {
    /// CPU, in thousandths.
    pub cpu: i64,
    /// Memory, in bytes.
    pub memory: i64,
    /// Ephemeral storage, in bytes.
    pub ephemeral: i64,
    /// Huge pages and extended resources, by name.
    pub other: Vec<(Name, i64)>,
    /// CPU as counted when nodes are scored.
    pub scored_cpu: i64,
    /// Memory as counted when nodes are scored.
    pub scored_memory: i64,
}

impl Requests {
    /// What a pod asks for.
    pub fn of(pod: &Pod) -> Self {
        let Some(spec) = &pod.spec else { return Self::default() };
        let exact = total(pod, spec, false);
        let scored = total(pod, spec, true);
        let get = |amounts: &Amounts, name: &str| amounts.get(name).copied().unwrap_or_default();
        Self {
            cpu: get(&exact, "cpu"),
            memory: get(&exact, "memory"),
            ephemeral: get(&exact, "ephemeral-storage"),
            scored_cpu: get(&scored, "cpu"),
            scored_memory: get(&scored, "memory"),
            other: exact
                .into_iter()
                .filter(|(name, n)| *n != 0 && is_other(name))
                .map(|(name, n)| (name.into(), n))
                .collect(),
        }
    }

    /// Whether it asks for nothing.
    pub fn is_nothing(&self) -> bool {
        self.cpu == 0 && self.memory == 0 && self.ephemeral == 0 && self.other.is_empty()
    }
}

/// Whether a resource has no column of its own. `storage` and such are not requested by pods.
pub(crate) fn is_other(name: &str) -> bool {
    !matches!(name, "cpu" | "memory" | "ephemeral-storage" | "pods")
}

/// The amount of a quantity in the unit of its resource. One that does not parse counts as nothing, as the API refuses it.
pub fn amount(name: &str, written: &Written) -> i64 {
    let Ok(quantity) = Quantity::parse(&written.0) else { return 0 };
    if name == "cpu" { quantity.milli_value() } else { quantity.value() }
}

/// Whether an init container keeps running beside the others.
pub(super) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

fn total(pod: &Pod, spec: &PodSpec, scored: bool) -> Amounts {
    let whole =
        spec.resources.as_ref().and_then(|resources| resources.requests.as_ref()).map(amounts).unwrap_or_default();
    let of = |container: &Container, statuses: Option<&Vec<ContainerStatus>>| {
        let mut asked = wanted(pod, container, statuses);
        if scored {
            unsaid(&mut asked, &whole);
        }
        asked
    };
    let status = pod.status.as_ref();
    let mut together = Amounts::new();
    for container in &spec.containers {
        add(&mut together, &of(container, status.and_then(|status| status.container_statuses.as_ref())));
    }
    let (mut sidecars, mut peak) = (Amounts::new(), Amounts::new());
    for container in spec.init_containers.iter().flatten() {
        let mut asked = of(container, status.and_then(|status| status.init_container_statuses.as_ref()));
        if is_sidecar(container) {
            add(&mut together, &asked);
            add(&mut sidecars, &asked);
            asked.clone_from(&sidecars);
        } else {
            add(&mut asked, &sidecars);
        }
        raise(&mut peak, &asked);
    }
    raise(&mut together, &peak);
    together.extend(
        whole.into_iter().filter(|(name, _)| matches!(&**name, "cpu" | "memory") || name.starts_with("hugepages-")),
    );
    add(&mut together, &spec.overhead.as_ref().map(amounts).unwrap_or_default());
    together
}

/// What a container wants, or holds while it is being resized.
fn wanted(pod: &Pod, container: &Container, statuses: Option<&Vec<ContainerStatus>>) -> Amounts {
    let mut asked = container.resources.as_ref().and_then(|r| r.requests.as_ref()).map(amounts).unwrap_or_default();
    let Some(status) = statuses.into_iter().flatten().find(|status| status.name == container.name) else {
        return asked;
    };
    let held = status.resources.as_ref().and_then(|r| r.requests.as_ref()).map(amounts);
    let promised = status.allocated_resources.as_ref().map(amounts);
    if infeasible(pod) && (held.is_some() || promised.is_some()) {
        asked.clear();
    }
    for amounts in [held, promised].into_iter().flatten() {
        raise(&mut asked, &amounts);
    }
    asked
}

/// Whether the node has refused the resize that the pod wants.
fn infeasible(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|c| c.type_ == "PodResizePending" && c.reason.as_deref() == Some("Infeasible"))
}

fn unsaid(asked: &mut Amounts, whole: &Amounts) {
    for (name, default) in [("cpu", UNSAID_CPU), ("memory", UNSAID_MEMORY)] {
        if !whole.contains_key(name) {
            asked.entry(name.to_owned()).or_insert(default);
        }
    }
}

fn amounts(written: &BTreeMap<String, Written>) -> Amounts {
    written.iter().map(|(name, quantity)| (name.clone(), amount(name, quantity))).collect()
}

fn add(to: &mut Amounts, more: &Amounts) {
    for (name, n) in more {
        let sum = to.entry(name.clone()).or_default();
        *sum = sum.saturating_add(*n);
    }
}

fn raise(to: &mut Amounts, least: &Amounts) {
    for (name, n) in least {
        let has = to.entry(name.clone()).or_default();
        *has = (*has).max(*n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn requests(spec: serde_json::Value) -> Requests {
        Requests::of(&serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap())
    }

    fn ask(name: &str, cpu: &str) -> serde_json::Value {
        json!({"name": name, "resources": {"requests": {"cpu": cpu}}})
    }

    #[test]
    fn the_larger_of_init_and_main_plus_overhead() {
        let mut sidecar = ask("side", "200m");
        sidecar["restartPolicy"] = "Always".into();
        let got = requests(json!({
            "initContainers": [ask("first", "900m"), sidecar, ask("second", "1")],
            "containers": [ask("a", "300m"), ask("b", "400m")],
            "overhead": {"cpu": "50m", "memory": "1Mi"},
        }));
        // first 900; second 1000 beside the sidecar's 200; main 700 + 200.
        assert_eq!((got.cpu, got.memory), (1250, 1 << 20));
    }

    #[test]
    fn requests_of_the_pod_replace_the_sum() {
        let got = requests(json!({"containers": [ask("a", "300m")], "resources": {"requests": {"cpu": "2"}}}));
        assert_eq!((got.cpu, got.scored_cpu), (2000, 2000));
        assert_eq!(got.scored_memory, UNSAID_MEMORY);
    }

    #[test]
    fn what_is_not_said_counts_only_in_scores() {
        let got = requests(json!({"containers": [{"name": "a"}, ask("b", "0")]}));
        assert!(got.is_nothing());
        assert_eq!((got.scored_cpu, got.scored_memory), (UNSAID_CPU, 2 * UNSAID_MEMORY));
    }

    #[test]
    fn extended_resources_are_kept_by_name() {
        let got = requests(json!({"containers": [{"name": "a", "resources": {"requests": {"example.com/gpu": "2"}}}]}));
        assert_eq!(got.other, vec![("example.com/gpu".into(), 2)]);
    }
}
