//! Arguments of plugins, and what is wrong with them.

mod affinity;
mod fit;
mod spread;

use jiff::SignedDuration;
use orc_core::validation::names::qualified_name;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{ArgsError, Catalogue};
use crate::engine::PreemptionArgs;
use crate::plugins::{
    DynamicResources, ImageLocality, InterPodAffinity, NodeName, NodePorts, NodeUnschedulable, NodeVolumeLimits,
    TaintToleration, VolumeBinding, VolumeRestrictions, VolumeZone,
};

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
    devices(catalogue, DynamicResources::default());
    catalogue.add("VolumeBinding", volume_binding);
    catalogue.add("NodeAffinity", affinity::read);
    catalogue.add("NodeResourcesFit", fit::fit);
    catalogue.add("NodeResourcesBalancedAllocation", fit::balanced);
    catalogue.add("PodTopologySpread", spread::read);
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

/// Device claims, by a plugin that has an evaluator of expressions or not.
pub(super) fn devices(catalogue: &mut Catalogue, plugin: DynamicResources) {
    catalogue.add("DynamicResources", move |args| device_args(args).map(|()| plugin.clone()));
}

fn wrong(field: &str, reason: &str) -> ArgsError {
    (field.to_owned(), reason.to_owned())
}

/// Checks the name of a resource, a group of them, or a label.
fn label_name(field: &str, name: &str) -> Result<(), ArgsError> {
    match qualified_name(name).first() {
        Some(reason) => Err(wrong(field, &format!("Invalid value: \"{name}\": {reason}"))),
        None => Ok(()),
    }
}

/// A plugin without arguments.
fn none<P: Clone>(plugin: P) -> impl Fn(&Value) -> Result<P, ArgsError> {
    move |args| nothing(args).map(|()| plugin.clone())
}

/// The arguments of a plugin that has none.
pub(super) fn nothing(args: &Value) -> Result<(), ArgsError> {
    typed::<NoArgs>(args).map(|NoArgs {}| ())
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
    shape: Option<Value>,
}

fn volume_binding(args: &Value) -> Result<VolumeBinding, ArgsError> {
    let read: VolumeBindingArgs = typed(args)?;
    if let Some(seconds) = read.bind_timeout_seconds.filter(|seconds| *seconds < 0) {
        let reason = format!("Invalid value: {seconds}: invalid BindTimeoutSeconds, should not be a negative value");
        return Err(wrong("bindTimeoutSeconds", &reason));
    }
    // As in Kubernetes 1.36, where scoring by storage capacity is alpha and off.
    if let Some(shape) = read.shape {
        let reason = "unexpected field `shape`, remove it: scoring by storage capacity is not built";
        return Err(wrong("shape", &format!("Invalid value: {shape}: {reason}")));
    }
    Ok(VolumeBinding)
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct DeviceArgs {
    filter_timeout: Option<String>,
    binding_timeout: Option<String>,
}

fn device_args(args: &Value) -> Result<(), ArgsError> {
    let read: DeviceArgs = typed(args)?;
    let least = |field: &str, written: &Option<String>, least: SignedDuration, rule: &str| {
        let Some(written) = written else { return Ok(()) };
        match written.parse::<SignedDuration>() {
            Ok(time) if time >= least => Ok(()),
            Ok(_) => Err(wrong(field, &format!("Invalid value: \"{written}\": {rule}"))),
            Err(_) => Err(wrong(field, &format!("Invalid value: \"{written}\": must be a duration such as \"10s\""))),
        }
    };
    least("filterTimeout", &read.filter_timeout, SignedDuration::ZERO, "must be zero or positive")?;
    least("bindingTimeout", &read.binding_timeout, SignedDuration::from_secs(1), "must be at least 1 second")
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
    min_candidate_nodes_percentage: Option<i32>,
    min_candidate_nodes_absolute: Option<i32>,
}

pub(super) fn preemption(args: &Value) -> Result<PreemptionArgs, ArgsError> {
    let (read, default): (PreemptionFields, _) = (typed(args)?, PreemptionArgs::default());
    let (percentage, absolute) = (read.min_candidate_nodes_percentage, read.min_candidate_nodes_absolute);
    let within = |field: &str, written: Option<i32>, default: u32, most: i32, range: &str| match written {
        None => Ok(default),
        Some(value) => match u32::try_from(value) {
            Ok(read) if value <= most => Ok(read),
            _ => Err(wrong(field, &format!("Invalid value: {value}: not in valid range {range}"))),
        },
    };
    const PERCENTAGE: &str = "minCandidateNodesPercentage";
    const ABSOLUTE: &str = "minCandidateNodesAbsolute";
    let made = PreemptionArgs {
        min_candidate_nodes_percentage: within(
            PERCENTAGE,
            percentage,
            default.min_candidate_nodes_percentage,
            100,
            "[0, 100]",
        )?,
        min_candidate_nodes_absolute: within(
            ABSOLUTE,
            absolute,
            default.min_candidate_nodes_absolute,
            i32::MAX,
            "[0, inf)",
        )?,
    };
    if made.min_candidate_nodes_percentage == 0 && made.min_candidate_nodes_absolute == 0 {
        return Err(wrong(
            PERCENTAGE,
            "Invalid value: 0: cannot be zero at the same time as minCandidateNodesAbsolute",
        ));
    }
    Ok(made)
}
