//! Demands that no plugin decides yet.

use k8s_openapi::api::core::v1::PodSpec;

/// The first hard demand of a pod that no plugin of this version understands, as its refusal says it. Preferences may go
/// unheard; a demand may not.
pub(super) fn of(spec: &PodSpec) -> Option<&'static str> {
    let affinity = spec.affinity.as_ref();
    let together = affinity.and_then(|a| a.pod_affinity.as_ref());
    let apart = affinity.and_then(|a| a.pod_anti_affinity.as_ref());
    let listed = |list: bool, text: &'static str| list.then_some(text);
    let required = |terms: Option<&Vec<_>>| terms.is_some_and(|terms| !terms.is_empty());
    let mut constraints = spec.topology_spread_constraints.iter().flatten();
    let mut volumes = spec.volumes.iter().flatten();
    listed(
        required(together.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref())),
        "node(s) could not be judged: required pod affinity is not built yet",
    )
    .or(listed(
        required(apart.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref())),
        "node(s) could not be judged: required pod anti-affinity is not built yet",
    ))
    .or(listed(
        constraints.any(|constraint| constraint.when_unsatisfiable == "DoNotSchedule"),
        "node(s) could not be judged: topology spread with DoNotSchedule is not built yet",
    ))
    .or(listed(
        volumes.any(|volume| volume.persistent_volume_claim.is_some() || volume.ephemeral.is_some()),
        "node(s) could not be judged: persistent volume claims are not built yet",
    ))
    .or(listed(
        spec.resource_claims.iter().flatten().next().is_some(),
        "node(s) could not be judged: resource claims are not built yet",
    ))
}
