//! Resources that are compared, and how.

use orc_core::Name;
use serde::Deserialize;
use serde_json::Value;

use super::{label_name, typed, wrong};
use crate::config::ArgsError;
use crate::plugins::{NodeResourcesBalancedAllocation, NodeResourcesFit, Strategy, Weighed};

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

pub(super) fn fit(args: &Value) -> Result<NodeResourcesFit, ArgsError> {
    let read: FitArgs = typed(args)?;
    for (at, name) in read.ignored_resources.iter().enumerate() {
        label_name(&format!("ignoredResources[{at}]"), name)?;
    }
    for (at, group) in read.ignored_resource_groups.iter().enumerate() {
        let field = format!("ignoredResourceGroups[{at}]");
        if group.contains('/') {
            let reason = format!("Invalid value: \"{group}\": resource group name can't contain '/'");
            return Err(wrong(&field, &reason));
        }
        label_name(&field, group)?;
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
    let curve = written.requested_to_capacity_ratio.is_some();
    let made = match &*written.r#type {
        "LeastAllocated" => Strategy::Least(resources),
        "MostAllocated" => Strategy::Most(resources),
        "RequestedToCapacityRatio" => return Ok(Strategy::Shape(resources, shape(written)?)),
        other => {
            let known = "\"LeastAllocated\", \"MostAllocated\", \"RequestedToCapacityRatio\"";
            let reason = format!("Unsupported value: \"{other}\": supported values: {known}");
            return Err(wrong("scoringStrategy.type", &reason));
        }
    };
    if curve {
        let reason = "Forbidden: must be nil when type is not RequestedToCapacityRatio";
        return Err(wrong("scoringStrategy.requestedToCapacityRatio", reason));
    }
    Ok(made)
}

fn shape(written: &ScoringStrategy) -> Result<Vec<(i64, i64)>, ArgsError> {
    const FIELD: &str = "scoringStrategy.requestedToCapacityRatio.shape";
    let Some(Ratio { shape: points }) = &written.requested_to_capacity_ratio else {
        let reason = "Required value: must be specified when type is RequestedToCapacityRatio";
        return Err(wrong("scoringStrategy.requestedToCapacityRatio", reason));
    };
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
            let reason = format!("Invalid value: {}: values must be sorted in increasing order", point.utilization);
            return Err(wrong(&field("utilization"), &reason));
        }
    }
    Ok(points.iter().map(|point| (point.utilization, point.score)).collect())
}

fn resources(field: &str, written: &Option<Vec<Resource>>) -> Result<Vec<Weighed>, ArgsError> {
    let Some(written) = written.as_ref().filter(|written| !written.is_empty()) else { return Ok(Weighed::defaults()) };
    let mut read: Vec<Weighed> = Vec::new();
    for (at, resource) in written.iter().enumerate() {
        // As upstream, no weight and a weight of 0 are a weight of 1.
        let weight = resource.weight.filter(|weight| *weight != 0).unwrap_or(1);
        if !(1..=100).contains(&weight) {
            let reason = format!("resource weight of {} not in valid range (0, 100]", resource.name);
            return Err(wrong(&format!("{field}[{at}].weight"), &format!("Invalid value: {weight}: {reason}")));
        }
        if read.iter().any(|other| *other.name == *resource.name) {
            return Err(wrong(&format!("{field}[{at}].name"), &format!("Duplicate value: \"{}\"", resource.name)));
        }
        read.push(Weighed { name: Name::new(&resource.name), weight });
    }
    Ok(read)
}

pub(super) fn balanced(args: &Value) -> Result<NodeResourcesBalancedAllocation, ArgsError> {
    let read: BalancedArgs = typed(args)?;
    let resources = resources("resources", &read.resources)?;
    if let Some(at) = resources.iter().position(|resource| resource.weight != 1) {
        let reason = format!("Invalid value: {}: must be 1", resources[at].weight);
        return Err(wrong(&format!("resources[{at}].weight"), &reason));
    }
    Ok(NodeResourcesBalancedAllocation { resources: resources.into_iter().map(|resource| resource.name).collect() })
}
