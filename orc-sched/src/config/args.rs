//! Arguments of plugins, and what is wrong with them.

use k8s_openapi::api::core::v1::NodeAffinity as WrittenAffinity;
use orc_core::Name;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{ArgsError, Catalogue};
use crate::engine::PreemptionArgs;
use crate::plugins::DynamicResources;
use crate::plugins::{
    ImageLocality, InterPodAffinity, NodeAffinity, NodeName, NodePorts, NodeResourcesBalancedAllocation,
    NodeResourcesFit, NodeUnschedulable, NodeVolumeLimits, PodTopologySpread, SpreadDefault, SpreadDefaults, Strategy,
    TaintToleration, VolumeBinding, VolumeRestrictions, VolumeZone, Weighed,
};
use crate::pod::NodeRule;

/// Kubernetes' plugins, with how they are made.
pub(super) fn fill(catalogue: &mut Catalogue) {
    catalogue.add("NodeUnschedulable", none(NodeUnschedulable));
    catalogue.add("NodeName", none(NodeName));
    catalogue.add("TaintToleration", none(TaintToleration));
    catalogue.add("NodePorts", none(NodePorts));
    catalogue.add("VolumeRestrictions", none(VolumeRestrictions));
    catalogue.add("NodeVolumeLimits", none(NodeVolumeLimits));
    catalogue.add("VolumeZone", none(VolumeZone));
    catalogue.add("ImageLocality", none(ImageLocality));
    catalogue.add("DynamicResources", none(DynamicResources::default()));
    catalogue.add("VolumeBinding", |args| {
        let read: VolumeBindingArgs = typed(args)?;
        if read.bind_timeout_seconds.is_some_and(|seconds| seconds < 0) {
            return Err(wrong(
                "bindTimeoutSeconds",
                "Invalid value: invalid BindTimeoutSeconds, should not be a negative value",
            ));
        }
        Ok(VolumeBinding)
    });
    catalogue.add("NodeAffinity", |args| {
        let read: NodeAffinityArgs = typed(args)?;
        Ok(NodeAffinity { added: read.added_affinity.as_ref().map(NodeRule::of_affinity).unwrap_or_default() })
    });
    catalogue.add("NodeResourcesFit", fit);
    catalogue.add("NodeResourcesBalancedAllocation", |args| {
        let read: BalancedArgs = typed(args)?;
        let resources = resources("resources", &read.resources)?;
        Ok(NodeResourcesBalancedAllocation { resources: resources.into_iter().map(|resource| resource.name).collect() })
    });
    catalogue.add("PodTopologySpread", spread);
    catalogue.add("InterPodAffinity", |args| {
        let read: InterPodArgs = typed(args)?;
        let weight = read.hard_pod_affinity_weight.unwrap_or(1);
        if !(0..=100).contains(&weight) {
            return Err(wrong(
                "hardPodAffinityWeight",
                &format!("Invalid value: {weight}: not in valid range [0, 100]"),
            ));
        }
        Ok(InterPodAffinity {
            hard_pod_affinity_weight: weight,
            ignore_preferred_terms_of_existing_pods: read.ignore_preferred_terms_of_existing_pods.unwrap_or_default(),
        })
    });
}

fn wrong(field: &str, reason: &str) -> ArgsError {
    (field.to_owned(), reason.to_owned())
}

/// A plugin without arguments.
fn none<P: Clone>(plugin: P) -> impl Fn(&Value) -> Result<P, ArgsError> {
    move |args| typed::<NoArgs>(args).map(|NoArgs {}| plugin.clone())
}

/// Reads arguments; `apiVersion` and `kind` may stand with them.
fn typed<T: DeserializeOwned + Default>(args: &Value) -> Result<T, ArgsError> {
    let Some(fields) = args.as_object() else {
        return if args.is_null() { Ok(T::default()) } else { Err(wrong("", "Invalid value: must be an object")) };
    };
    let mut fields = fields.clone();
    fields.remove("apiVersion");
    fields.remove("kind");
    serde_json::from_value(Value::Object(fields)).map_err(|error| wrong("", &format!("Invalid value: {error}")))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoArgs {}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct VolumeBindingArgs {
    bind_timeout_seconds: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct NodeAffinityArgs {
    added_affinity: Option<WrittenAffinity>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct InterPodArgs {
    hard_pod_affinity_weight: Option<i64>,
    ignore_preferred_terms_of_existing_pods: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct PreemptionFields {
    min_candidate_nodes_percentage: Option<u32>,
    min_candidate_nodes_absolute: Option<u32>,
}

pub(super) fn preemption(args: &Value) -> Result<PreemptionArgs, ArgsError> {
    let (read, default): (PreemptionFields, _) = (typed(args)?, PreemptionArgs::default());
    let made = PreemptionArgs {
        min_candidate_nodes_percentage: read
            .min_candidate_nodes_percentage
            .unwrap_or(default.min_candidate_nodes_percentage),
        min_candidate_nodes_absolute: read.min_candidate_nodes_absolute.unwrap_or(default.min_candidate_nodes_absolute),
    };
    if made.min_candidate_nodes_percentage > 100 {
        return Err(wrong("minCandidateNodesPercentage", "Invalid value: not in valid range [0, 100]"));
    }
    if made.min_candidate_nodes_percentage == 0 && made.min_candidate_nodes_absolute == 0 {
        return Err(wrong(
            "minCandidateNodesPercentage",
            "Invalid value: cannot be zero at the same time as minCandidateNodesAbsolute",
        ));
    }
    Ok(made)
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct BalancedArgs {
    resources: Option<Vec<Resource>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resource {
    name: String,
    weight: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct FitArgs {
    ignored_resources: Vec<String>,
    ignored_resource_groups: Vec<String>,
    scoring_strategy: Option<ScoringStrategy>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ScoringStrategy {
    r#type: String,
    resources: Option<Vec<Resource>>,
    requested_to_capacity_ratio: Option<Ratio>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ratio {
    shape: Vec<Point>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Point {
    utilization: i64,
    score: i64,
}

fn fit(args: &Value) -> Result<NodeResourcesFit, ArgsError> {
    let read: FitArgs = typed(args)?;
    for (at, group) in read.ignored_resource_groups.iter().enumerate() {
        if group.contains('/') {
            return Err(wrong(
                &format!("ignoredResourceGroups[{at}]"),
                &format!("Invalid value: \"{group}\": resource group name can't contain '/'"),
            ));
        }
    }
    let names = |names: &[String]| names.iter().map(Name::new).collect();
    Ok(NodeResourcesFit {
        strategy: read.scoring_strategy.as_ref().map(strategy).transpose()?.unwrap_or_default(),
        ignored: names(&read.ignored_resources),
        ignored_groups: names(&read.ignored_resource_groups),
    })
}

fn strategy(written: &ScoringStrategy) -> Result<Strategy, ArgsError> {
    let resources = resources("scoringStrategy.resources", &written.resources)?;
    match &*written.r#type {
        "" | "LeastAllocated" => Ok(Strategy::Least(resources)),
        "MostAllocated" => Ok(Strategy::Most(resources)),
        "RequestedToCapacityRatio" => Ok(Strategy::Shape(resources, shape(written)?)),
        other => Err(wrong(
            "scoringStrategy.type",
            &format!(
                "Unsupported value: \"{other}\": supported values: \"LeastAllocated\", \"MostAllocated\", \
                 \"RequestedToCapacityRatio\""
            ),
        )),
    }
}

fn shape(written: &ScoringStrategy) -> Result<Vec<(i64, i64)>, ArgsError> {
    const FIELD: &str = "scoringStrategy.requestedToCapacityRatio.shape";
    let points = written.requested_to_capacity_ratio.as_ref().map(|ratio| &*ratio.shape).unwrap_or_default();
    if points.is_empty() {
        return Err(wrong(FIELD, "Required value: at least one point must be specified"));
    }
    for (at, point) in points.iter().enumerate() {
        let field = |name: &str| format!("{FIELD}[{at}].{name}");
        let range = |name: &str, value: i64, most: i64| match value {
            _ if (0..=most).contains(&value) => Ok(()),
            _ => Err(wrong(&field(name), &format!("Invalid value: {value}: not in valid range [0, {most}]"))),
        };
        range("utilization", point.utilization, 100)?;
        range("score", point.score, 10)?;
        if at > 0 && points[at - 1].utilization >= point.utilization {
            let reason =
                format!("Invalid value: {}: utilization values must be sorted in increasing order", point.utilization);
            return Err(wrong(&field("utilization"), &reason));
        }
    }
    Ok(points.iter().map(|point| (point.utilization, point.score)).collect())
}

fn resources(field: &str, written: &Option<Vec<Resource>>) -> Result<Vec<Weighed>, ArgsError> {
    let Some(written) = written.as_ref().filter(|written| !written.is_empty()) else { return Ok(Weighed::defaults()) };
    let mut read: Vec<Weighed> = Vec::new();
    for (at, resource) in written.iter().enumerate() {
        let weight = resource.weight.unwrap_or(1);
        if !(1..=100).contains(&weight) {
            let reason = format!("Invalid value: {weight}: resource weight should be in the range 1-100");
            return Err(wrong(&format!("{field}[{at}].weight"), &reason));
        }
        if read.iter().any(|other| *other.name == *resource.name) {
            return Err(wrong(&format!("{field}[{at}].name"), &format!("Duplicate value: \"{}\"", resource.name)));
        }
        read.push(Weighed { name: Name::new(&resource.name), weight });
    }
    Ok(read)
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct SpreadArgs {
    defaulting_type: Option<String>,
    default_constraints: Vec<Constraint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Constraint {
    max_skew: i64,
    topology_key: String,
    when_unsatisfiable: String,
}

fn spread(args: &Value) -> Result<PodTopologySpread, ArgsError> {
    let read: SpreadArgs = typed(args)?;
    match read.defaulting_type.as_deref() {
        None | Some("System") if !read.default_constraints.is_empty() && read.defaulting_type.is_some() => {
            Err(wrong("defaultingType", "Invalid value: \"System\": when .defaultConstraints are specified"))
        }
        Some("System") | None if read.default_constraints.is_empty() => Ok(PodTopologySpread::default()),
        Some("List") | None => {
            let all = read.default_constraints.iter().enumerate().map(constraint).collect::<Result<_, _>>()?;
            Ok(PodTopologySpread { defaults: SpreadDefaults::List(all) })
        }
        Some(other) => Err(wrong(
            "defaultingType",
            &format!("Unsupported value: \"{other}\": supported values: \"List\", \"System\""),
        )),
    }
}

fn constraint((at, written): (usize, &Constraint)) -> Result<SpreadDefault, ArgsError> {
    let field = |name: &str| format!("defaultConstraints[{at}].{name}");
    if written.max_skew < 1 {
        return Err(wrong(
            &field("maxSkew"),
            &format!("Invalid value: {}: must be greater than zero", written.max_skew),
        ));
    }
    if written.topology_key.is_empty() {
        return Err(wrong(&field("topologyKey"), "Required value: can not be empty"));
    }
    let hard = match &*written.when_unsatisfiable {
        "DoNotSchedule" => true,
        "ScheduleAnyway" => false,
        other => {
            let reason =
                format!("Unsupported value: \"{other}\": supported values: \"DoNotSchedule\", \"ScheduleAnyway\"");
            return Err(wrong(&field("whenUnsatisfiable"), &reason));
        }
    };
    Ok(SpreadDefault { max_skew: written.max_skew, topology_key: Name::new(&written.topology_key), hard })
}
